"""A repository at a commit: what a branch or tag means now, and which files the demo will read.

Knows the Hub's client and the demo's list of files; must not know Spaces.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.utils._paths import filter_repo_objects

from demo.checkpoints.files import EXPORT_SUBFOLDER, IGNORED, NEEDED, NEEDED_OF_EXPORT
from demo.checkpoints.hub import RepoType
from training.errors import TrainingError
from training.hub.steps import Steps

WEIGHTS = ".safetensors"


@dataclass(frozen=True)
class Pin:
    """A repository at one commit; `closed` is one that a Space cannot read without a token."""

    repo_id: str
    commit: str
    files: Sequence[str]
    closed: bool

    def preload_line(self) -> str:
        """As `preload_from_hub` takes it: fetched when the Space is built, not when it wakes."""
        return f"{self.repo_id} {','.join(self.files)} {self.commit}"


def pin(api: HfApi, steps: Steps, repo_id: str, revision: str, repo_type: RepoType) -> Pin:
    """The commit that a branch, tag or commit names, and its files that the demo reads.

    Raises:
        TrainingError: it cannot be read, or holds nothing that the demo could run.
    """
    at = f"{repo_type} {repo_id}{f' at {revision}' if revision else ''}"
    with steps.step(f"read the {at}"):
        ask: Any = api.model_info if repo_type == "model" else api.dataset_info
        info = ask(repo_id, revision=revision or "main")
    names = [file.rfilename for file in info.siblings or ()]
    commit = info.sha or ""
    closed = bool(info.private) or bool(getattr(info, "gated", False))
    if repo_type == "dataset":
        _require(repo_id, "test.parquet", "test.parquet" in names)
        return Pin(repo_id, commit, names, closed)
    _require(repo_id, "config.json or base.json", {"config.json", "base.json"} & set(names))
    files = needed(names)
    _require(repo_id, f"*{WEIGHTS}", any(name.endswith(WEIGHTS) for name in files))
    return Pin(repo_id, commit, files, closed)


def needed(names: Sequence[str]) -> list[str]:
    """Those of a model's files that a demo fetches at its start."""
    export = {f"{EXPORT_SUBFOLDER}/{name}" for name in NEEDED_OF_EXPORT}
    whole = filter_repo_objects(names, allow_patterns=list(NEEDED), ignore_patterns=list(IGNORED))
    chosen = set(whole) | (export & set(names))
    return [name for name in names if name in chosen]


def _require(repo_id: str, what: str, there: object) -> None:
    if not there:
        raise TrainingError(f"{repo_id} holds no {what}: the demo cannot use it. Publish it anew.")

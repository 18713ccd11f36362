"""The files of a Space: what of this checkout goes there, and the README with its front matter."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import RepoCard, SpaceHardware
from huggingface_hub.utils._fixes import yaml_dump

from demo.checkpoints.embedded import EMBEDDED
from training import TrainingError, working_tree
from training.release.checks import KnownTweets, require_safe

SINGLE = ("app.py", "requirements.txt", "LICENSE")
FOLDERS = ("demo", EMBEDDED.name)
README = "README.md"
HARDWARE = tuple(flavor.value for flavor in SpaceHardware)
_LOCAL_LINK = re.compile(r"!?\[([^\]]*)\]\((?![a-z]+:|#)([^)]+)\)")


def checkout_files() -> dict[str, Path]:
    """The files of this checkout that go into the Space, by name, except the README. Raises
    TrainingError if something that does not belong there lies among them, is missing, or must not
    be published."""
    root = working_tree.ROOT
    paths = {name: root / name for name in working_tree.files([*SINGLE, *FOLDERS])}
    for wanted in (*SINGLE, *FOLDERS):
        if not any(name == wanted or name.startswith(f"{wanted}/") for name in paths):
            raise TrainingError(f"{wanted} is no part of this checkout, and no Space runs without.")
    for name, path in paths.items():
        if not name.isprintable():
            raise TrainingError(f"{ascii(name)} is no name that the Hub takes: rename that file.")
        if path.is_symlink():
            raise TrainingError(f"{name} is a link, and a Space takes files alone: replace it.")
    require_safe({**paths, README: root / README}, tweets=None)
    # Not the code: it holds no tweets, and an index of tweets would some day match a line of it.
    weights = {name: path for name, path in paths.items() if EMBEDDED in path.parents}
    require_safe(weights, KnownTweets.by_index(EMBEDDED))
    return paths


def render_space_readme(
    root: Path, model: str, preload: str, datasets: Sequence[str], hardware: str
) -> str:
    """The README that is pushed. `model` is the Hub id of the checkpoint that the Space runs, and
    `preload` what the Hub fetches while it builds the Space; empty values are left out. Raises
    TrainingError if it has no front matter, or not the Gradio that is pinned."""
    values, body = split_front_matter((root / README).read_text(encoding="utf-8"))
    given: dict[str, Any] = {
        "models": [model] if model else None,
        "preload_from_hub": [preload] if preload else None,
        "datasets": list(datasets),
        "suggested_hardware": hardware,
    }
    values |= {name: value for name, value in given.items() if value}
    requirements = (root / "requirements.txt").read_text(encoding="utf-8")
    _require_pinned(values.get("sdk_version"), requirements)
    return f"---\n{yaml_dump(values, sort_keys=False, width=1_000)}---\n{_drop_dead_links(body)}"


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """The front matter's values, and the text below it. Raises TrainingError if there is none, or
    it is not YAML."""
    if not text.startswith("---\n"):
        raise TrainingError(
            "README.md has no front matter: begin it with a block between --- lines."
        )
    try:
        card = RepoCard(text)
    # Errors of the YAML parser, whose types RepoCard does not document.
    except Exception as error:
        first = str(error).splitlines()[0]
        raise TrainingError(f"README.md's front matter is no YAML: {first}. Correct it.") from error
    return dict(vars(card.data)), card.text


def _require_pinned(version: object, requirements: str) -> None:
    """The rest of the front matter the Hub checks, before anything is changed."""
    pinned = re.search(r"^gradio(?:\[[\w,]*\])?==(\S+)", requirements, re.MULTILINE)
    if pinned is None or pinned[1] != version:
        raise TrainingError(
            f"README.md's front matter: sdk_version is {version!r}, and requirements.txt pins "
            f"gradio to {pinned[1] if pinned else 'none'}. Make them equal."
        )


def _drop_dead_links(body: str) -> str:
    """The text with links to files and pictures that the Space does not have as their words."""

    def replace(link: re.Match[str]) -> str:
        return link[0] if link[2].split("/")[0] in (*SINGLE, *FOLDERS) else link[1]

    return _LOCAL_LINK.sub(replace, body)

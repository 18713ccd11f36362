"""An owner who publishes: a project under git, prepared tweets, a tiny checkpoint, and the verb in
a process of its own, since the real client reads HF_ENDPOINT once.

Knows how the verb is run; must not know what it should answer. All tweets are made up.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.checkpoints.files import write_checksums
from demo.judging.originals import NAME, Originals
from tests import made_up, tiny
from tests.hub.server import WRITER, Hub
from tests.processes import ROOT
from training import prepare

REPO = "alice/parody"
# The client tries again for twenty seconds; this one does not wait in between.
_IMPATIENT = (
    "import runpy, time; time.sleep = lambda seconds: None; "
    "runpy.run_module('training', run_name='__main__', alter_sys=True)"
)
_GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def make_project(folder: Path) -> Path:
    """The training and demo code, committed in a repository of its own."""
    folder.mkdir()
    for name in ("demo", "training"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".gitignore", folder)
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all of it"]):
        subprocess.run([*_GIT, *command], cwd=folder, check=True)
    return folder


def make_data(folder: Path) -> Path:
    """Prepared made-up tweets."""
    archive = made_up.write(folder.parent / "archive.csv", made_up.rows(700))
    prepare.prepare(str(archive), out=folder, seed=1)
    return folder


def make_checkpoint(folder: Path, data: Path, bits: float = 1.25, base: str = "gpt2") -> Path:
    """A GPT-2 that knows a sentence by heart, with everything that training puts beside it; its
    figures are the embedded checkpoint's, but for `bits` on test."""
    folder.mkdir()
    tiny.write_fluent(folder)
    for name in ("detector.safetensors", "curve.png", "generation_config.json"):
        shutil.copy(ROOT / "embedded" / name, folder)
    shutil.copy(data / "persona.json", folder)
    metrics = json.loads((ROOT / "embedded" / "metrics.json").read_text(encoding="utf-8"))
    metrics["data"] = json.loads((data / "report.json").read_text(encoding="utf-8"))
    metrics["recipe"]["base"] = metrics["comparison"]["base"] = base
    metrics["evaluation"]["test"]["checkpoint"]["bits_per_byte"] = bits
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    texts = [text for name in prepare.SPLITS for text in prepare.read_texts(data, name)]
    Originals.build(texts).save(folder / NAME)
    write_checksums(folder)
    return folder


@dataclass(frozen=True)
class Publisher:
    """Runs `python -m training publish` in `project`; what it keeps is in `home`."""

    hub: Hub
    project: Path
    data: Path
    checkpoint: Path
    home: Path

    def start(
        self, *arguments: str, token: str = WRITER, is_patient: bool = True, **options: Any
    ) -> Any:
        """The verb, with these arguments and no others."""
        start = ["-m", "training"] if is_patient else ["-c", _IMPATIENT]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        settings = {
            "HF_ENDPOINT": self.hub.endpoint, "HF_HOME": str(self.home / "hf"),
            "HF_HUB_DISABLE_XET": "0" if self.hub.xet else "1", "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "localhost,127.0.0.1",
            "CACHE_DIR": str(self.home / "cache"), **({"HF_TOKEN": token} if token else {}),
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, *start, "publish", *arguments], cwd=self.project,
            env={**kept, **settings}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            **options,
        )  # fmt: skip

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """The same, to its end, which must not be a traceback."""
        process = self.start(*arguments, **options)
        output, errors = process.communicate(timeout=120)
        assert "Traceback" not in errors, errors
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def ask(self, checkpoint: Path | None = None) -> list[str]:
        """The arguments that publish a checkpoint."""
        folder = str(checkpoint or self.checkpoint)
        return ["--repo", REPO, "--checkpoint", folder, "--data", str(self.data)]

    def publish(self, *more: str, checkpoint: Path | None = None) -> str:
        """Publishes, and returns the commit that is told."""
        done = self.run(*self.ask(checkpoint), *more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().rpartition("=")[2]

    def refusal(self, *more: str, checkpoint: Path | None = None, **options: Any) -> str:
        """Tries to publish, which must fail, and returns why, and what is on the Hub now."""
        done = self.run(*self.ask(checkpoint), *more, **options)
        assert done.returncode == 1, done.stdout
        _, is_there, told = done.stderr.rpartition("publish: ")
        assert is_there, done.stderr
        return " ".join(told.split())

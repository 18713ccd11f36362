"""An owner who publishes: a project under git, prepared tweets, and a tiny checkpoint. All tweets
are made up."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.checkpoints.files import write_checksums
from demo.judging.originals import NAME, Originals
from tests import made_up, tiny
from tests.forking import Forked
from tests.hub.server import Hub
from tests.hub.verbs import Done, fork, run_here, start_process
from tests.processes import ROOT
from training import prepare

REPO = "alice/parody"
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
    figures are the embedded checkpoint's, but for `bits` on test and a comparison."""
    folder.mkdir()
    tiny.write_fluent(folder)
    for name in ("detector.safetensors", "curve.png", "generation_config.json"):
        shutil.copy(ROOT / "embedded" / name, folder)
    shutil.copy(data / "persona.json", folder)
    metrics = json.loads((ROOT / "embedded" / "metrics.json").read_text(encoding="utf-8"))
    metrics["data"] = json.loads((data / "report.json").read_text(encoding="utf-8"))
    metrics["recipe"]["base"] = base
    test = metrics["evaluation"]["test"]["checkpoint"]
    curve = [{"tokens": tokens, "seconds": 1.0, "bits_per_byte": 1.9} for tokens in (0, 160_000)]
    gaps = (None, [-0.1, -0.2, 0.0])
    runs = [{"curve": curve, "test": dict(test), "ours_less_this": gap} for gap in gaps]
    metrics["comparison"] = {
        "base": base,
        "budget": "160,000 tokens",
        "runs": dict(zip(("embedded", "lora"), runs, strict=True)),
    }
    metrics["evaluation"]["test"]["checkpoint"]["bits_per_byte"] = bits
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    texts = [text for name in prepare.ALL_TEXTS for text in prepare.read_texts(data, name)]
    Originals.build(texts).save(folder / NAME)
    write_checksums(folder)
    return folder


@dataclass(frozen=True)
class Publisher:
    """Runs `publish` to a Hub; caches are in `home`, and a process of its own runs in `project`."""

    hub: Hub
    project: Path
    data: Path
    checkpoint: Path
    home: Path

    def run(self, *arguments: str, **options: Any) -> Done:
        """The verb in this process, with these arguments and no others."""
        return run_here(self.hub, self.home, "publish", *arguments, **options)

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """The verb in a process of its own."""
        return start_process(
            self.hub, self.home, "publish", *arguments, cwd=self.project, **options
        )

    def fork(self, *arguments: str) -> Forked:
        """The verb in a forked process, to be killed or interrupted."""
        return fork(self.hub, self.home, "publish", *arguments)

    def arguments(self, checkpoint: Path | None = None) -> list[str]:
        """Those that publish a checkpoint."""
        folder = str(checkpoint or self.checkpoint)
        return ["--repo", REPO, "--checkpoint", folder, "--data", str(self.data)]

    def publish(self, *more: str, checkpoint: Path | None = None, **options: Any) -> str:
        """Publishes, and returns the commit that is printed."""
        done = self.run(*self.arguments(checkpoint), *more, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().rpartition("=")[2]

    def refusal(self, *more: str, checkpoint: Path | None = None, **options: Any) -> str:
        """Tries to publish, which must fail, and returns why, and what was changed on the Hub."""
        return reason_of(self.run(*self.arguments(checkpoint), *more, **options))


def reason_of(done: Done) -> str:
    """The one sentence, and what was changed, of a run that failed."""
    assert done.returncode == 1, done.stdout
    _, is_there, told = done.stderr.rpartition("publish: ")
    assert is_there, done.stderr
    return " ".join(told.split())

"""`publish`: a checkpoint, or held-out tweets, onto the Hub: one commit, verified, with a tag.

Knows what must be so before anything is pushed, and what is told of it; must not know how a
folder is filled (publishing/) or the Hub is spoken to (hub/).
"""

import argparse
import json
import math
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo.generation.hub import SETTINGS, RepoType
from training.card import EMBEDDED, ROOT
from training.errors import TrainingError
from training.hub.client import connected, require_name, require_token
from training.hub.repository import Head, Repository, differences
from training.hub.steps import Steps, say
from training.publishing.checkpoint import METRICS, Order, build
from training.publishing.dataset import build_data
from training.publishing.safety import KnownTweets, require_safe

MAX_NAMED = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--repo", metavar="USER/NAME", help="the model repository to push to")
    target.add_argument(
        "--dataset", metavar="USER/NAME", help="push dev and test of --data there instead"
    )
    parser.add_argument("--checkpoint", type=Path, default=EMBEDDED, help="default: embedded/")
    parser.add_argument("--data", type=Path, default=Path("data"), help="what prepare wrote")
    parser.add_argument("--tag", help="names this version; default: v and the time")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--public", action="store_true", help="make a new dataset public")
    parser.add_argument("--no-openvino", action="store_true", help="publish without the export")
    parser.add_argument(
        "--force-worse",
        action="store_true",
        help="though what is there is better; the card says so",
    )
    parser.add_argument(
        "--force-dirty", action="store_true", help="though changes are uncommitted; likewise"
    )
    parser.add_argument("--rollback", metavar="TAG", help="put that version back on main instead")
    parser.add_argument("--dry-run", action="store_true", help="everything but the push")


@dataclass(frozen=True)
class Target:
    """Where it goes, as it was asked for."""

    repository: Repository
    tag: str
    private: bool
    public: bool
    dry_run: bool


def run(arguments: argparse.Namespace) -> int:
    """Checks, builds, tells, pushes, verifies, tags."""
    target = _target(arguments)
    with target.repository.steps.told_at_the_end():
        if not target.dry_run:
            require_token()
        if arguments.rollback:
            _roll_back(target, arguments.rollback)
        elif arguments.dataset:
            _publish_data(target, arguments.data)
        else:
            _publish_checkpoint(target, arguments)
    return 0


def _target(arguments: argparse.Namespace) -> Target:
    kind: RepoType = "dataset" if arguments.dataset else "model"
    if arguments.public and (arguments.repo or arguments.private):
        raise TrainingError("--public belongs to --dataset, without --private.")
    begins = f"rollback-of-{arguments.rollback}-" if arguments.rollback else "v"
    tag = arguments.tag or f"{begins}{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if not re.fullmatch(r"\w[\w.-]*", tag, re.ASCII) or ".." in tag:
        raise TrainingError(f"--tag is {tag!r}; it takes letters, digits, dots, - and _.")
    repo_id = arguments.repo or arguments.dataset
    require_name("--repo" if arguments.repo else "--dataset", repo_id)
    repository = Repository(repo_id, kind, connected(), Steps())
    private = arguments.private or (kind == "dataset" and not arguments.public)
    return Target(repository, tag, private, arguments.public, arguments.dry_run)


def _publish_checkpoint(target: Target, arguments: argparse.Namespace) -> None:
    folder: Path = arguments.checkpoint
    metrics = _evaluated(folder)
    remarks = _dirty(arguments.force_dirty)
    tweets = KnownTweets.of(arguments.data, folder)
    require_safe(folder, tweets)
    head = _look(target)
    if head is not None:
        before = target.repository.read_json(METRICS, head)
        remarks += _worse(metrics, before, arguments.force_worse)
    order = Order(folder, arguments.repo, remarks, with_export=not arguments.no_openvino)
    with _empty_folder() as out:
        build(order, out, say)
        require_safe(out, tweets)
        _push(target, head, out, f"{folder.resolve().name}, {target.tag}")


def _publish_data(target: Target, data: Path) -> None:
    head = _look(target)
    if head is not None and "train.parquet" in head.files:
        raise TrainingError(
            f"{target.repository.repo_id} holds train.parquet, from which the model learnt and "
            "which is never published: take another dataset, or delete that one."
        )
    with _empty_folder() as out:
        build_data(data, out)
        require_safe(out, tweets=None)
        _push(target, head, out, f"Held-out tweets, {target.tag}")


def _roll_back(target: Target, tag: str) -> None:
    repository, head = target.repository, _look(target)
    if head is None:
        raise TrainingError(f"{repository.repo_id} is not there, or the token may not see it.")
    wanted = repository.tagged(tag, head)
    changed, gone = differences(head.files, wanted)
    if not changed and not gone:
        say(f"Nothing to do: main of {repository.repo_id} is {tag} already.")
        return
    say(f"Main of {repository.repo_id} becomes {tag} again, as {target.tag}:")
    for name in changed:
        say(f"  {name:<32}{wanted[name].size:>14,} bytes")
    for name in gone:
        say(f"  {name:<32}{'deleted':>14}")
    if target.dry_run:
        say("A dry run: nothing was pushed.")
        return
    commit = repository.restore(tag, wanted, head, f"Roll back to {tag}")
    repository.tag(commit, target.tag)
    _tell(repository, commit)


def _look(target: Target) -> Head | None:
    """What is there, if it may be pushed to so."""
    repository = target.repository
    head = repository.look()
    if head is None:
        return None
    if target.tag in head.tags:
        raise TrainingError(
            f"{repository.repo_id} has a tag {target.tag} already, of commit "
            f"{head.tags[target.tag][:12]}: give another by --tag."
        )
    if target.private and not head.private:
        flag = " or give --public" if repository.kind == "dataset" else ", or leave out --private"
        raise TrainingError(
            f"{repository.repo_id} is public: make it private in its settings{flag}."
        )
    return head


def _evaluated(folder: Path) -> dict[str, Any]:
    """Its figures, with bits per byte on test among them."""
    try:
        metrics: dict[str, Any] = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{folder} has no {METRICS} that can be read: it is no checkpoint of finetune's."
        ) from error
    if _bits(metrics) is None:
        raise TrainingError(
            f"{folder} was not evaluated on test: run `python -m training evaluate --checkpoint "
            f"{folder}` first."
        )
    return metrics


def _bits(metrics: Mapping[str, Any]) -> float | None:
    """Bits per byte on test; None where there are none."""
    try:
        bits = float(metrics["evaluation"]["test"]["checkpoint"]["bits_per_byte"])
    except (KeyError, TypeError, ValueError):
        return None
    return bits if math.isfinite(bits) and bits > 0 else None


def _worse(ours: Mapping[str, Any], theirs: Mapping[str, Any], is_forced: bool) -> tuple[str, ...]:
    """What the card must say of it, if what is on the Hub is better."""
    bits, before = _bits(ours), _bits(theirs)
    if bits is None or before is None or bits <= before:
        return ()
    other = "" if _test_set(ours) == _test_set(theirs) else ", though on another set of tweets"
    if not is_forced:
        raise TrainingError(
            f"It takes {bits:.4f} bits per byte on test, and what is on the Hub {before:.4f}"
            f"{other}: publish a better one, or give --force-worse, and the card says so."
        )
    return (
        f"Published although the version before it was better: {before:.4f} bits per byte on "
        f"test, where this one takes {bits:.4f}{other}.",
    )


def _test_set(metrics: Mapping[str, Any]) -> Any:
    try:
        return metrics["data"]["splits"]["test"]["texts_sha256"]
    except (KeyError, TypeError):
        return None


def _dirty(is_forced: bool) -> tuple[str, ...]:
    """What the card must say of the working tree, if it is not what a commit holds."""
    command = ["git", "status", "--porcelain"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        changed = [line[3:] for line in done.stdout.splitlines()]
        named = ", ".join(changed[:MAX_NAMED]) + (" …" if len(changed) > MAX_NAMED else "")
        reason = f"The working tree has uncommitted changes ({named})" if changed else ""
        remark = "Published from a working tree with uncommitted changes."
    except (OSError, subprocess.CalledProcessError):
        reason = f"{ROOT.name} is under no version control that git tells of"
        remark = "Published from code that was under no version control."
    if reason and not is_forced:
        raise TrainingError(f"{reason}: commit first, or give --force-dirty, and the card says so.")
    return (remark,) if reason else ()


@contextmanager
def _empty_folder() -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="publish-")
    except OSError as error:
        raise TrainingError(
            f"There is no folder to build in ({error.strerror}): set TMPDIR to one."
        ) from error
    with folder as path:
        yield Path(path)


def _push(target: Target, head: Head | None, folder: Path, title: str) -> None:
    repository = target.repository
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    say(_plan(target, head, files))
    if target.dry_run:
        say("A dry run: nothing was pushed.")
        return
    head = head or repository.create(target.private)
    commit = repository.push(files, head, title)
    repository.tag(commit, target.tag)
    _tell(repository, commit)


def _plan(target: Target, head: Head | None, files: Mapping[str, Path]) -> str:
    is_private = head.private if head else target.private
    visibility = f"{'private' if is_private else 'public'}{'' if head else ', new'}"
    repository = target.repository
    lines = [f"To {repository.kind} {repository.repo_id} ({visibility}), as {target.tag}:"]
    lines += [f"  {name:<32}{path.stat().st_size:>14,} bytes" for name, path in files.items()]
    gone = repository.gone(head, files) if head else []
    lines += [f"  {name:<32}{'deleted':>14}" for name in gone]
    if target.public and is_private:
        lines.append("It stays private: change that in its settings.")
    return "\n".join(lines)


def _tell(repository: Repository, commit: str) -> None:
    name, revision = SETTINGS[repository.kind]
    say("To run the demo with it:")
    say(f"{name}={repository.repo_id} {revision}={commit}")

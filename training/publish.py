"""`publish`: a checkpoint, or held-out tweets, onto the Hub: one commit, verified, with a tag.

Knows what must be so before anything is pushed, and what is told of it; must not know how a
folder is filled (publishing/) or the Hub is spoken to (hub/).
"""

import argparse
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from demo.checkpoints.files import METRICS
from demo.checkpoints.hub import SETTINGS, RepoType
from training.card import EMBEDDED
from training.errors import TrainingError
from training.hub.client import connected, require_name, require_token
from training.hub.repository import Entry, Head, Repository
from training.hub.steps import Steps, say
from training.publishing.checkpoint import Order, build
from training.publishing.conditions import MAX_NAMED, evaluated, uncommitted, worse
from training.publishing.dataset import PUBLISHED, build_data
from training.safety.check import files_below, require_safe
from training.safety.pickles import is_named_like_a_pickle
from training.safety.tweets import KnownTweets

NEW = ", new, or not visible to this token"
# Of what git takes as a name, what needs no quoting; nothing that could be meant as a commit.
_TAG = re.compile(r"(?![0-9a-f]{7,40}\Z)(?!.*(?:\.\.|\.lock\Z|\.\Z))\w[\w.-]{0,99}", re.ASCII)
# What makes a repository hold a model.
WEIGHTS = (".safetensors", ".bin", ".gguf")
_NO_TAGS = ("main", "head")


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
    is_tag_given: bool
    private: bool
    public: bool
    dry_run: bool


def run(arguments: argparse.Namespace) -> int:
    """Checks, builds, tells, pushes, verifies, tags."""
    target = _target(arguments)
    with target.repository.steps.told_at_the_end():
        if not target.dry_run:
            require_token()
        if arguments.rollback is not None:
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
    begins = "v"
    if arguments.rollback is not None:
        begins = f"rollback-of-{re.sub(r'[^A-Za-z0-9-]+', '-', arguments.rollback)[:50]}-"
    tag = arguments.tag or f"{begins}{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if not _TAG.fullmatch(tag) or tag.lower() in _NO_TAGS:
        raise TrainingError(
            f"--tag is {tag!r}; it must be a name that git takes: at most 100 letters, digits, "
            "dots, - and _, and no branch or commit."
        )
    repo_id = arguments.repo or arguments.dataset
    require_name("--repo" if arguments.repo else "--dataset", repo_id)
    owned = frozenset(PUBLISHED) if kind == "dataset" else None
    repository = Repository(repo_id, kind, connected(), Steps(), owned)
    private = arguments.private or (kind == "dataset" and not arguments.public)
    return Target(
        repository, tag, arguments.tag is not None, private, arguments.public, arguments.dry_run
    )


def _publish_checkpoint(target: Target, arguments: argparse.Namespace) -> None:
    folder: Path = arguments.checkpoint
    metrics = evaluated(folder)
    remarks = uncommitted(arguments.force_dirty)
    tweets = KnownTweets.of(arguments.data, folder)
    require_safe(files_below(folder), tweets)
    head = _look(target)
    if head is not None and any(name.endswith(WEIGHTS) for name in head.files):
        before = target.repository.read_json(METRICS, head)
        remarks += worse(metrics, before, arguments.force_worse)
    order = Order(folder, arguments.repo, remarks, with_export=not arguments.no_openvino)
    with _empty_folder() as out:
        build(order, out, say)
        require_safe(files_below(out), tweets)
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
        require_safe(files_below(out), tweets=None)
        _push(target, head, out, f"Held-out tweets, {target.tag}")


def _roll_back(target: Target, tag: str) -> None:
    repository, head = target.repository, target.repository.look()
    if head is None:
        raise TrainingError(f"{repository.repo_id} is not there, or the token may not see it.")
    _require_free(target, head)
    wanted = repository.tagged(tag, head)
    _require_no_pickle(repository, tag, wanted)
    changed, gone = repository.differences(head, wanted)
    if not changed and not gone:
        say(f"Main of {repository.repo_id} is {tag} already.")
        # An earlier run may have been ended before it came to the tag.
        is_wanted = target.is_tag_given or head.commit not in head.tags.values()
        if is_wanted and target.tag not in head.tags and not target.dry_run:
            repository.tag(head.commit, target.tag)
        _tell(repository, head.commit)
        return
    if target.tag in head.tags:
        raise _taken(target, head)
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


def _require_no_pickle(repository: Repository, tag: str, files: Mapping[str, Entry]) -> None:
    pickled = [name for name in files if is_named_like_a_pickle(name)]
    if pickled:
        raise TrainingError(
            f"{tag} of {repository.repo_id} holds what is named like a pickle, which is never "
            f"published: {', '.join(pickled[:MAX_NAMED])}."
        )


def _require_free(target: Target, head: Head) -> None:
    """A tag may be there on main itself: then an earlier run was ended before it could say so."""
    if head.tags.get(target.tag, head.commit) != head.commit:
        raise _taken(target, head)


def _taken(target: Target, head: Head) -> TrainingError:
    return TrainingError(
        f"{target.repository.repo_id} has a tag {target.tag} already, of commit "
        f"{head.tags[target.tag][:12]}: give another by --tag."
    )


def _look(target: Target) -> Head | None:
    """What is there, if it may be pushed to so."""
    repository = target.repository
    head = repository.look()
    if head is None:
        return None
    _require_free(target, head)
    if target.private:
        is_dataset = repository.kind == "dataset"
        repository.require_private(head, "give --public" if is_dataset else "leave --private out")
    return head


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
    files = files_below(folder)
    if head is not None and target.tag in head.tags and not repository.holds(head, files):
        raise _taken(target, head)
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
    visibility = f"{'private' if is_private else 'public'}{'' if head else NEW}"
    repository = target.repository
    lines = [f"To {repository.kind} {repository.repo_id} ({visibility}), as {target.tag}:"]
    lines += [f"  {name:<32}{path.stat().st_size:>14,} bytes" for name, path in files.items()]
    gone = repository.gone(head, files) if head else []
    lines += [f"  {name:<32}{'deleted':>14}" for name in gone]
    if target.public and is_private:
        lines.append("It stays private: change that in its settings.")
    return "\n".join(lines)


def _tell(repository: Repository, commit: str) -> None:
    name, revision = SETTINGS["model" if repository.kind == "model" else "dataset"]
    say("To run the demo with it:")
    say(f"{name}={repository.repo_id} {revision}={commit}")

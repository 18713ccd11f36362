"""`publish`: a checkpoint, or held-out tweets, to the Hub in one verified commit with a tag."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from demo.checkpoints.embedded import EMBEDDED
from demo.checkpoints.files import METRICS
from demo.checkpoints.hub import SETTINGS, RepoType
from training import TrainingError, working_tree
from training.command_line import flag
from training.files import print_persona
from training.release.checkpoint import (
    build_checkpoint,
    compare_with_published,
    read_evaluated_metrics,
)
from training.release.checks import KnownTweets, is_listed_type, list_files, require_safe
from training.release.dataset import PUBLISHED, build_dataset
from training.release.hub import Steps, connect, require_repo_id, require_token, say
from training.release.repository import Head, Repository, temporary_folder

# Tags that git accepts and that need no quoting; none that could be read as a commit.
_TAG = re.compile(r"(?![0-9a-f]{7,40}\Z)(?!.*(?:\.\.|\.lock\Z|\.\Z))\w[\w.-]{0,99}", re.ASCII)
# A repository with one of these holds a model.
WEIGHTS = (".safetensors", ".bin", ".gguf")
# So many of many files are named in a message.
MAX_NAMED = 5


@dataclass(frozen=True)
class Target:
    """Where to publish, under which tag, and who may see it if it is new."""

    repository: Repository
    tag: str
    is_tag_given: bool
    private: bool
    public: bool
    dry_run: bool


def publish(
    repo: Annotated[
        str, typer.Option(metavar="USER/NAME", help="the model repository to push to")
    ] = "",
    dataset: Annotated[
        str, typer.Option(metavar="USER/NAME", help="push dev and test of --data there instead")
    ] = "",
    checkpoint: Annotated[Path, typer.Option(help="default: embedded/")] = EMBEDDED,
    data: Annotated[Path, typer.Option(help="what prepare wrote")] = Path("data"),
    tag: Annotated[
        str | None, typer.Option(help="names this version; default: v and the time")
    ] = None,
    private: Annotated[bool, flag("private", "make a new repository private")] = False,
    public: Annotated[bool, flag("public", "make a new dataset public")] = False,
    no_openvino: Annotated[bool, flag("no-openvino", "publish without the export")] = False,
    force_worse: Annotated[
        bool, flag("force-worse", "though the published version is better; the card says so")
    ] = False,
    force_dirty: Annotated[
        bool, flag("force-dirty", "though changes are uncommitted; likewise")
    ] = False,
    rollback: Annotated[
        str | None, typer.Option(metavar="TAG", help="put that version back on main instead")
    ] = None,
    dry_run: Annotated[bool, flag("dry-run", "everything but the push")] = False,
) -> None:
    if bool(repo) == bool(dataset):
        raise typer.BadParameter("give one of --repo and --dataset.")
    if public and (repo or private):
        raise TrainingError("--public belongs to --dataset, without --private.")
    require_repo_id("--repo" if repo else "--dataset", repo or dataset)
    kind: RepoType = "dataset" if dataset else "model"
    owned = frozenset(PUBLISHED) if dataset else None
    steps = Steps()
    target = Target(
        Repository(repo or dataset, kind, connect(), steps, owned),
        choose_tag(tag, rollback),
        is_tag_given=tag is not None,
        private=private or (bool(dataset) and not public),
        public=public,
        dry_run=dry_run,
    )
    with steps.reported_on_failure():
        if not dry_run:
            require_token()
        if rollback is not None:
            _roll_back(target, rollback)
        elif dataset:
            _publish_dataset(target, data)
        else:
            _publish_checkpoint(
                target, checkpoint, data, force_worse, force_dirty, with_export=not no_openvino
            )


def choose_tag(tag: str | None, rollback: str | None) -> str:
    """The tag that was given, or one with the time, which also names a rollback's tag. Raises
    TrainingError if git or the Hub would not accept it."""
    prefix = "v"
    if rollback is not None:
        prefix = f"rollback-of-{re.sub(r'[^A-Za-z0-9-]+', '-', rollback)[:50]}-"
    now = datetime.now(UTC)
    chosen = tag or f"{prefix}{now:%Y%m%d-%H%M%S}-{now.microsecond // 1_000:03}"
    if not _TAG.fullmatch(chosen) or chosen.lower() in ("main", "head"):
        raise TrainingError(
            f"--tag is {chosen!r}; it must be a name that git takes: at most 100 letters, digits, "
            "dots, - and _, and no branch or commit."
        )
    return chosen


def require_committed(force: bool) -> tuple[str, ...]:
    """Looks for uncommitted changes; returns what the card must say of a forced publication. Raises
    TrainingError if there are some, or there is no version control, and `force` is not set."""
    changed = working_tree.changed()
    if changed is None:
        reason = f"{working_tree.ROOT.name} is under no version control that git tells of"
        remark = "Published from code that was under no version control."
    else:
        named = ", ".join(changed[:MAX_NAMED]) + (" …" if len(changed) > MAX_NAMED else "")
        reason = f"The working tree has uncommitted changes ({named})" if changed else ""
        remark = "Published from a working tree with uncommitted changes."
    if reason and not force:
        raise TrainingError(f"{reason}: commit first, or give --force-dirty, and the card says so.")
    return (remark,) if reason else ()


def _publish_checkpoint(
    target: Target,
    folder: Path,
    data: Path,
    force_worse: bool,
    force_dirty: bool,
    with_export: bool,
) -> None:
    repository = target.repository
    metrics = read_evaluated_metrics(folder)
    print_persona(folder, say)
    remarks = require_committed(force_dirty)
    tweets = KnownTweets.of(data, folder)
    require_safe(list_files(folder), tweets)
    head = _look(target)
    if head is not None and any(name.endswith(WEIGHTS) for name in head.files):
        published = repository.read_json(METRICS, head)
        remarks += compare_with_published(metrics, published, force_worse)
    with temporary_folder() as out:
        build_checkpoint(folder, repository.repo_id, out, say, remarks, with_export)
        require_safe(list_files(out), tweets)
        _push(target, head, out, f"{folder.resolve().name}, {target.tag}")


def _publish_dataset(target: Target, data: Path) -> None:
    head = _look(target)
    if head is not None and "train.parquet" in head.files:
        raise TrainingError(
            f"{target.repository.repo_id} holds train.parquet, from which the model learnt and "
            "which is never published: take another dataset, or delete that one."
        )
    print_persona(data, say)
    with temporary_folder() as out:
        build_dataset(data, out)
        require_safe(list_files(out), tweets=None)
        _push(target, head, out, f"Held-out tweets, {target.tag}")


def _roll_back(target: Target, tag: str) -> None:
    repository, head = target.repository, target.repository.look()
    if head is None:
        raise TrainingError(f"{repository.repo_id} is not there, or the token may not see it.")
    _require_free_tag(target, head)
    wanted = repository.tagged(tag, head)
    unlisted = [name for name in wanted if not is_listed_type(name)]
    if unlisted:
        raise TrainingError(
            f"{tag} of {repository.repo_id} holds files of a type that is never published, as "
            f"pickles are: {', '.join(unlisted[:MAX_NAMED])}."
        )
    changed, obsolete = repository.changed(head, wanted), repository.obsolete(head, wanted)
    if not changed and not obsolete:
        say(f"Main of {repository.repo_id} is {tag} already.")
        # An earlier run may have ended between commit and tag.
        needs_tag = target.is_tag_given or head.commit not in head.tags.values()
        if needs_tag and target.tag not in head.tags and not target.dry_run:
            repository.tag(head.commit, target.tag)
        _say_settings(repository, head.commit)
        return
    if target.tag in head.tags:
        raise _tag_taken(target, head)
    say(f"Main of {repository.repo_id} becomes {tag} again, as {target.tag}:")
    say(_file_list({name: wanted[name].size for name in changed}, obsolete))
    if target.dry_run:
        say("A dry run: nothing was pushed.")
        return
    commit = repository.restore(tag, wanted, head, f"Roll back to {tag}")
    repository.tag(commit, target.tag)
    _say_settings(repository, commit)


def _require_free_tag(target: Target, head: Head) -> None:
    """The tag may be on main's commit: then an earlier run was cut off right after it."""
    if head.tags.get(target.tag, head.commit) != head.commit:
        raise _tag_taken(target, head)


def _tag_taken(target: Target, head: Head) -> TrainingError:
    return TrainingError(
        f"{target.repository.repo_id} has a tag {target.tag} already, of commit "
        f"{head.tags[target.tag][:12]}: give another by --tag."
    )


def _look(target: Target) -> Head | None:
    """What is on main, if the repository is there and may be pushed to."""
    head = target.repository.look()
    if head is None:
        return None
    _require_free_tag(target, head)
    if target.private:
        is_dataset = target.repository.kind == "dataset"
        otherwise = "give --public" if is_dataset else "leave --private out"
        target.repository.require_private(head, otherwise)
    return head


def _push(target: Target, head: Head | None, folder: Path, title: str) -> None:
    repository = target.repository
    if head is not None and target.tag in head.tags and not repository.is_same(head, folder):
        raise _tag_taken(target, head)
    say(_plan(target, head, folder))
    if target.dry_run:
        say("A dry run: nothing was pushed.")
        return
    repository.check_card(folder)
    commit = repository.push(folder, head or repository.create(target.private), title)
    repository.tag(commit, target.tag)
    _say_settings(repository, commit)


def _plan(target: Target, head: Head | None, folder: Path) -> str:
    repository, files = target.repository, list_files(folder)
    is_private = head.private if head else target.private
    visibility = "private" if is_private else "public"
    if head is None:
        visibility += ", new, or not visible to this token"
    obsolete = repository.obsolete(head, files) if head else []
    lines = [
        f"To {repository.kind} {repository.repo_id} ({visibility}), as {target.tag}:",
        _file_list({name: path.stat().st_size for name, path in files.items()}, obsolete),
    ]
    if target.public and is_private:
        lines.append("It stays private: change that in its settings.")
    return "\n".join(lines)


def _file_list(sizes: Mapping[str, int], deleted: list[str]) -> str:
    lines = [f"  {name:<32}{size:>14,} bytes" for name, size in sizes.items()]
    return "\n".join([*lines, *(f"  {name:<32}{'deleted':>14}" for name in deleted)])


def _say_settings(repository: Repository, commit: str) -> None:
    name, revision = SETTINGS["model" if repository.kind == "model" else "dataset"]
    say("To run the demo with it:")
    say(f"{name}={repository.repo_id} {revision}={commit}")

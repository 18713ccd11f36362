"""A repository on the Hub that is pushed to: looked at, changed in one commit, verified, tagged.

Knows the Hub's client and git's and git-lfs' sums; must not know what the files are. Nothing is
ever changed by more than one commit, and only if nobody else has pushed since it was looked at.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    RepoCard,
)
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from demo.checkpoints.files import file_sha256
from training.errors import TrainingError
from training.hub.steps import Steps, say

# The Hub puts it into every repository.
GIT_ATTRIBUTES = ".gitattributes"
README = "README.md"

Kind = Literal["model", "dataset", "space"]
# What a file is to hold: that of a file here, or these bytes.
Content = Path | bytes
Operation = CommitOperationAdd | CommitOperationCopy | CommitOperationDelete


@dataclass(frozen=True)
class Entry:
    """A file as git sees it: the sha1 of its blob, and the sha256 of one that is kept by git-lfs
    (then the blob is only a pointer)."""

    blob: str
    sha256: str
    size: int

    def is_of(self, content: Content) -> bool:
        """Whether those are its bytes."""
        if size_of(content) != self.size:
            return False
        return _sha256(content) == self.sha256 if self.sha256 else _blob(content) == self.blob


@dataclass(frozen=True)
class Head:
    """What is on main: files by name, and the commits of all tags."""

    commit: str
    private: bool
    files: Mapping[str, Entry]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Repository:
    """One repository, and what this run did to it; `owned` are the files that are ours to change
    and delete, where others may lie beside them, else all are."""

    repo_id: str
    kind: Kind
    api: HfApi
    steps: Steps
    owned: frozenset[str] | None = None

    def look(self) -> Head | None:
        """What is on main; None where there is no such repository (or none that may be seen).

        Raises:
            TrainingError: the Hub did not say, or has it under another name.
        """
        with self.steps.step(f"look at {self.kind} {self.repo_id}"):
            try:
                info = self.api.repo_info(self.repo_id, revision="main", repo_type=self.kind)
            except GatedRepoError:
                raise
            except RepositoryNotFoundError:
                return None
            if info.id != self.repo_id:
                raise TrainingError(f"{self.repo_id} is called {info.id} now: name it so.")
            commit = str(info.sha)
            return Head(commit, bool(info.private), self._files(commit), self._tags())

    def read_json(self, name: str, head: Head) -> dict[str, Any]:
        """A small file of main; empty where there is none, or none that can be read.

        Raises:
            TrainingError: the Hub did not give it.
        """
        if name not in head.files:
            return {}
        with self.steps.step(f"read its {name}"):
            content = self._read(name, head.commit)
        with suppress(ValueError, RecursionError):
            value = json.loads(content)
            return value if isinstance(value, dict) else {}
        return {}

    def create(self, private: bool, settings: str = "", **options: Any) -> Head:
        """Makes the repository; `settings` tells the owner of the client's `options`.

        Raises:
            TrainingError: it could not be made.
        """
        kind = "Space" if self.kind == "space" else self.kind
        what = f"{'private' if private else 'public'} {kind} {self.repo_id}"
        with self.steps.step(f"make the {what}", f"made the {what}{settings}"):
            self.api.create_repo(self.repo_id, repo_type=self.kind, private=private, **options)
        made = self.look()
        if made is None:
            raise TrainingError(f"{self.repo_id} was made, but the Hub does not show it yet.")
        return made

    def require_private(self, head: Head, otherwise: str) -> None:
        """Only what is made new is made private: what is public may have been copied.

        Raises:
            TrainingError: it is public; `otherwise` is what else its owner may do.
        """
        if not head.private:
            raise TrainingError(
                f"{self.repo_id} is public, and only what is made new is made private. Change it "
                f"on its settings page, or {otherwise}."
            )

    def gone(self, head: Head, files: Iterable[str]) -> list[str]:
        """What goes when these files come: the rest of ours, which the app could take for a part
        of a model, or of itself."""
        return sorted(self._ours(head.files).keys() - set(files))

    def holds(self, head: Head, files: Mapping[str, Content]) -> bool:
        """Whether main is what a push of these files would make of it."""
        return not self._other(head.files, files) and not self.gone(head, files)

    def push(self, files: Mapping[str, Content], head: Head, title: str) -> str:
        """Pushes these files, and makes main exactly them as far as it is ours, by one commit;
        returns it, verified.

        Raises:
            TrainingError: it was not pushed, or what is there now is not what was pushed.
        """
        if self.holds(head, files):
            say("main holds these files already, by the sums that the Hub has of them")
            return head.commit
        if README in files:
            # Before the weights: the commit would be refused for it after hours.
            with self.steps.step(f"have the Hub check {README}"):
                RepoCard(_bytes(files[README]).decode()).validate(repo_type=self.kind)
        with self.steps.step("read what is to be pushed"):
            additions = [
                CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
                for name, content in files.items()
            ]
        for addition in additions:
            # One after the other: threads of the client's would outlive a Ctrl-C. The commit finds
            # small files among them, which it takes along itself.
            if addition.path_in_repo.endswith((".safetensors", ".bin", ".parquet")):
                with self.steps.step(f"upload {addition.path_in_repo}"):
                    self.api.preupload_lfs_files(
                        self.repo_id, [addition], repo_type=self.kind, free_memory=False
                    )
        gone = self.gone(head, files)
        if gone:
            say(f"no longer needed, and deleted: {', '.join(gone)}")
        deletions = _deletions(gone)
        commit = self._commit([*additions, *deletions], head, title)
        self._require_files(commit, head, files)
        say(f"verified its {len(files)} files by the sums that the Hub has of them")
        return commit

    def tagged(self, tag: str, head: Head) -> Mapping[str, Entry]:
        """Our files of a tag.

        Raises:
            TrainingError: there is no such tag, it has none, or the Hub did not say.
        """
        if tag not in head.tags:
            known = ", ".join(head.tags) or "none"
            raise TrainingError(f"{self.repo_id} has no tag {tag}; its tags: {known}.")
        with self.steps.step(f"look at {tag}"):
            files = self._ours(self._files(head.tags[tag]))
        if not files:
            raise TrainingError(f"{tag} of {self.repo_id} has none of the files that it is for.")
        return files

    def differences(self, head: Head, wanted: Mapping[str, Entry]) -> tuple[list[str], list[str]]:
        """The files of main that must change, and those that must go, for it to be as wanted."""
        changed = sorted(name for name, entry in wanted.items() if head.files.get(name) != entry)
        return changed, self.gone(head, wanted)

    def restore(self, tag: str, wanted: Mapping[str, Entry], head: Head, title: str) -> str:
        """Makes main the `wanted` files of a tag again, by one commit, and returns it, verified.
        Large files are copied where they lie, small ones by way of this machine.

        Raises:
            TrainingError: it was not pushed, or what is there now is not what was there.
        """
        changed, gone = self.differences(head, wanted)
        restored = [self._restored(name, wanted[name], tag, head.tags[tag]) for name in changed]
        commit = self._commit([*restored, *_deletions(gone)], head, title)
        with self.steps.step("verify what was restored"):
            now = replace(head, commit=commit, files=self._files(commit))
            if any(self.differences(now, wanted)):
                raise TrainingError(f"Main of {self.repo_id} is not what {tag} is.")
        say(f"verified its {len(wanted)} files: they are those of {tag}")
        return commit

    def tag(self, commit: str, name: str) -> None:
        """Gives a commit a tag, if it does not have it.

        Raises:
            TrainingError: it could not be tagged.
        """
        with self.steps.step(f"tag it {name}", f"tagged it {name}"):
            try:
                self.api.create_tag(self.repo_id, tag=name, revision=commit, repo_type=self.kind)
            except Exception:
                # An answer may be lost, or be to an earlier run.
                with suppress(Exception):
                    if self._tags().get(name) == commit:
                        return
                raise
            if self._tags().get(name) != commit:
                raise TrainingError(f"The Hub took the tag {name}, and does not show it.")

    def _restored(self, name: str, entry: Entry, tag: str, commit: str) -> Operation:
        if entry.sha256:
            return CommitOperationCopy(name, name, src_revision=commit)
        with self.steps.step(f"read {name} of {tag}"):
            content = self._read(name, commit)
            if not entry.is_of(content):
                raise TrainingError(
                    f"{name} of {tag} came with other bytes than the Hub lists: try again later."
                )
        return CommitOperationAdd(name, content)

    def _read(self, name: str, commit: str) -> bytes:
        with tempfile.TemporaryDirectory() as to:
            path = self.api.hf_hub_download(
                self.repo_id, name, revision=commit, repo_type=self.kind, local_dir=to
            )
            return Path(path).read_bytes()

    def _commit(self, operations: Iterable[Operation], head: Head, title: str) -> str:
        with self.steps.step(f"commit to {self.repo_id}", unsure=True):
            done = self.api.create_commit(
                self.repo_id,
                operations,
                commit_message=title,
                repo_type=self.kind,
                revision="main",
                parent_commit=head.commit,
                num_threads=1,
            )
        commit = str(done.oid)
        self.steps.add(f"pushed commit {commit[:12]}, which is on main now")
        return commit

    def _require_files(self, commit: str, head: Head, files: Mapping[str, Content]) -> None:
        with self.steps.step("verify what was pushed"):
            now = replace(head, commit=commit, files=self._files(commit))
            wrong = sorted({*self._other(now.files, files), *self.gone(now, files)})
            if wrong:
                raise TrainingError(
                    f"Commit {commit[:12]} of {self.repo_id} does not hold what was pushed: "
                    f"{', '.join(wrong)}. Nobody should load it, and it has no tag."
                )

    def _other(self, there: Mapping[str, Entry], files: Mapping[str, Content]) -> list[str]:
        """Those files that are not there as they are here."""
        return [n for n, content in files.items() if n not in there or not there[n].is_of(content)]

    def _ours(self, files: Mapping[str, Entry]) -> dict[str, Entry]:
        return {
            name: entry
            for name, entry in files.items()
            if name != GIT_ATTRIBUTES and (self.owned is None or name in self.owned)
        }

    def _tags(self) -> dict[str, str]:
        refs = self.api.list_repo_refs(self.repo_id, repo_type=self.kind)
        return {tag.name: tag.target_commit for tag in refs.tags}

    def _files(self, commit: str) -> dict[str, Entry]:
        tree = self.api.list_repo_tree(
            self.repo_id, recursive=True, revision=commit, repo_type=self.kind
        )
        return {
            file.path: Entry(file.blob_id, file.lfs.sha256 if file.lfs else "", file.size)
            for file in tree
            if isinstance(file, RepoFile)
        }


def size_of(content: Content) -> int:
    """In bytes."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _deletions(names: Iterable[str]) -> list[CommitOperationDelete]:
    return [CommitOperationDelete(name, is_folder=False) for name in names]


def _bytes(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _sha256(content: Content) -> str:
    if isinstance(content, Path):
        return file_sha256(content)
    return hashlib.sha256(content).hexdigest()


def _blob(content: Content) -> str:
    held = _bytes(content)
    return hashlib.sha1(b"blob %d\0" % len(held) + held).hexdigest()

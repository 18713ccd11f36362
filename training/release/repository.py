"""A repository on the Hub: looked at, changed in one commit, verified, tagged.

A change is always one commit on main, made only if nobody else has pushed since it was looked at.
`HfApi.upload_folder` is not used: with hf_xet it may make several commits of one folder, checks the
parent for the first only, sends a commit again after a fault of the Hub's, and waits for its upload
threads after Ctrl-C.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
from huggingface_hub.utils.sha import git_hash

from demo.checkpoints.cache import scratch_folder
from training import TrainingError
from training.release.checks import list_files
from training.release.hub import Steps, say

# The Hub puts this file into every repository.
GIT_ATTRIBUTES = ".gitattributes"
README = "README.md"
# Uploaded before the commit, which carries small files itself.
LARGE = (".safetensors", ".bin", ".parquet")

Kind = Literal["model", "dataset", "space"]
Operation = CommitOperationAdd | CommitOperationCopy | CommitOperationDelete


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder to build in, deleted afterwards; what killed processes left goes first. Raises
    TrainingError if it cannot be made, or if writing to it fails inside."""
    try:
        with scratch_folder(Path(tempfile.gettempdir())) as folder:
            yield folder
    except OSError as error:
        raise TrainingError(
            f"The folder to publish could not be written in {tempfile.gettempdir()} "
            f"({error.strerror or error}). Make room there (twice a checkpoint's size), or set "
            "TMPDIR to a folder on another disk."
        ) from error


@dataclass(frozen=True)
class Head:
    """What is on main: files by name, and the commit of every tag by the tag's name."""

    commit: str
    private: bool
    files: Mapping[str, RepoFile]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Repository:
    """One repository. `owned` are the files that this project may change and delete; None means
    all of them. Every method raises TrainingError if the Hub refuses or does not answer."""

    repo_id: str
    kind: Kind
    api: HfApi
    steps: Steps
    owned: frozenset[str] | None = None

    def look(self) -> Head | None:
        """What is on main; None where there is no such repository, or none that may be seen."""
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
        """A small JSON file of main; empty where there is none that can be read."""
        if name not in head.files:
            return {}
        with self.steps.step(f"read its {name}"):
            content = self._read(name, head.commit)
        with suppress(ValueError, RecursionError):
            value = json.loads(content)
            return value if isinstance(value, dict) else {}
        return {}

    def create(self, private: bool, settings: str = "", **options: Any) -> Head:
        """Creates the repository with the client's `options`; `settings` describes them."""
        kind = "Space" if self.kind == "space" else self.kind
        what = f"{'private' if private else 'public'} {kind} {self.repo_id}"
        with self.steps.step(f"make the {what}", f"made the {what}{settings}"):
            self.api.create_repo(self.repo_id, repo_type=self.kind, private=private, **options)
        made = self.look()
        if made is None:
            raise TrainingError(f"{self.repo_id} was made, but the Hub does not show it yet.")
        return made

    def require_private(self, head: Head, otherwise: str) -> None:
        """Only new repositories are made private: a public one may have been copied. Raises
        TrainingError if it is public; `otherwise` is what else its owner may do."""
        if not head.private:
            raise TrainingError(
                f"{self.repo_id} is public, and only what is made new is made private. Change it "
                f"on its settings page, or {otherwise}."
            )

    def obsolete(self, head: Head, names: Iterable[str]) -> list[str]:
        """Files of ours on main that are not among `names`; a push of those deletes them."""
        return sorted(self._ours(head.files).keys() - set(names))

    def is_same(self, head: Head, folder: Path) -> bool:
        """Whether main is what a push of the folder would make of it."""
        with self.steps.step("compare it with what is there"):
            return not self._differences(head.commit, folder)

    def check_card(self, folder: Path) -> None:
        """Has the Hub check the folder's card before anything is changed: it refuses the commit of
        a wrong one, after everything was uploaded. Raises TrainingError if it is wrong."""
        card = RepoCard((folder / README).read_text(encoding="utf-8"))
        with self.steps.step(f"have the Hub check {README}"):
            card.validate(repo_type=self.kind)

    def push(self, folder: Path, head: Head, title: str) -> str:
        """Makes main exactly the folder, as far as it is ours, in one commit; returns the commit,
        verified. Raises TrainingError if it was not pushed, or what is there now is not what was
        pushed."""
        if self.is_same(head, folder):
            say("main holds these files already, by the sums that the Hub has of them")
            return head.commit
        files = list_files(folder)
        with self.steps.step("read what is to be pushed"):
            additions = [CommitOperationAdd(name, str(path)) for name, path in files.items()]
        for addition in additions:
            # One at a time: several are uploaded by threads, for which Ctrl-C would wait.
            if addition.path_in_repo.endswith(LARGE):
                with self.steps.step(f"upload {addition.path_in_repo}"):
                    self.api.preupload_lfs_files(
                        self.repo_id, [addition], repo_type=self.kind, free_memory=False
                    )
        obsolete = self.obsolete(head, files)
        if obsolete:
            say(f"no longer needed, and deleted: {', '.join(obsolete)}")
        commit = self._commit([*additions, *_deletions(obsolete)], head, title)
        with self.steps.step("verify what was pushed"):
            if wrong := self._differences(commit, folder):
                raise TrainingError(
                    f"Commit {commit[:12]} of {self.repo_id} does not hold what was pushed: "
                    f"{', '.join(wrong)}. Nobody should load it, and it has no tag."
                )
        say(f"verified its {len(files)} files by the sums that the Hub has of them")
        return commit

    def tagged(self, tag: str, head: Head) -> Mapping[str, RepoFile]:
        """Our files of a tag. Raises TrainingError if there is no such tag, or it has none."""
        if tag not in head.tags:
            known = ", ".join(head.tags) or "none"
            raise TrainingError(f"{self.repo_id} has no tag {tag}; its tags: {known}.")
        with self.steps.step(f"look at {tag}"):
            files = self._ours(self._files(head.tags[tag]))
        if not files:
            raise TrainingError(f"{tag} of {self.repo_id} has none of the files that it is for.")
        return files

    def changed(self, head: Head, wanted: Mapping[str, RepoFile]) -> list[str]:
        """The wanted files that main does not hold so."""
        return sorted(
            name
            for name, file in wanted.items()
            if name not in head.files or head.files[name].blob_id != file.blob_id
        )

    def restore(self, tag: str, wanted: Mapping[str, RepoFile], head: Head, title: str) -> str:
        """Makes main the `wanted` files of a tag again, in one commit; returns it, verified. Large
        files are copied on the Hub, small ones by way of this machine. Raises TrainingError if it
        was not pushed, or what is there now is not what was there."""
        operations = [
            self._restored(wanted[name], tag, head.tags[tag]) for name in self.changed(head, wanted)
        ]
        commit = self._commit([*operations, *_deletions(self.obsolete(head, wanted))], head, title)
        with self.steps.step("verify what was restored"):
            now = Head(commit, head.private, self._files(commit), head.tags)
            if self.changed(now, wanted) or self.obsolete(now, wanted):
                raise TrainingError(f"Main of {self.repo_id} is not what {tag} is.")
        say(f"verified its {len(wanted)} files: they are those of {tag}")
        return commit

    def tag(self, commit: str, name: str) -> None:
        """Tags a commit, unless it has the tag."""
        with self.steps.step(f"tag it {name}", f"tagged it {name}"):
            try:
                self.api.create_tag(self.repo_id, tag=name, revision=commit, repo_type=self.kind)
            except Exception:
                # It may be there: from an earlier run, or because only the answer was lost.
                with suppress(Exception):
                    if self._tags().get(name) == commit:
                        return
                raise
            if self._tags().get(name) != commit:
                raise TrainingError(f"The Hub took the tag {name}, and does not show it.")

    def _restored(self, file: RepoFile, tag: str, commit: str) -> Operation:
        if file.lfs:
            return CommitOperationCopy(file.path, file.path, src_revision=commit)
        with self.steps.step(f"read {file.path} of {tag}"):
            content = self._read(file.path, commit)
            if git_hash(content) != file.blob_id:
                raise TrainingError(
                    f"{file.path} of {tag} came with other bytes than the Hub lists: try again "
                    "later."
                )
        return CommitOperationAdd(file.path, content)

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

    def _differences(self, commit: str, folder: Path) -> list[str]:
        """Names of our files that a commit and the folder do not share, by the Hub's checksums."""
        found = self.api.verify_repo_checksums(
            self.repo_id, repo_type=self.kind, revision=commit, local_dir=folder
        )
        wrong = {mismatch["path"] for mismatch in found.mismatches}
        return sorted({*wrong, *found.extra_paths, *filter(self._is_ours, found.missing_paths)})

    def _ours(self, files: Mapping[str, RepoFile]) -> dict[str, RepoFile]:
        return {name: file for name, file in files.items() if self._is_ours(name)}

    def _is_ours(self, name: str) -> bool:
        return name != GIT_ATTRIBUTES and (self.owned is None or name in self.owned)

    def _tags(self) -> dict[str, str]:
        refs = self.api.list_repo_refs(self.repo_id, repo_type=self.kind)
        return {tag.name: tag.target_commit for tag in refs.tags}

    def _files(self, commit: str) -> dict[str, RepoFile]:
        tree = self.api.list_repo_tree(
            self.repo_id, recursive=True, revision=commit, repo_type=self.kind
        )
        return {file.path: file for file in tree if isinstance(file, RepoFile)}


def _deletions(names: Iterable[str]) -> list[CommitOperationDelete]:
    return [CommitOperationDelete(name, is_folder=False) for name in names]

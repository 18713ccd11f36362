"""The working tree that this code runs from, as git sees it."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from training import TrainingError

ROOT = Path(__file__).parent.parent


def revision() -> str:
    """The commit, marked if the tree has changes; empty outside git."""
    changes = changed()
    if changes is None:
        return ""
    return _git("rev-parse", "HEAD").strip() + ("+changes" if changes else "")


def changed() -> list[str] | None:
    """The files that differ from the commit, or are new to it; None outside git."""
    if not _is_under_git():
        return None
    try:
        return [line[3:] for line in _git("status", "--porcelain").splitlines()]
    except (OSError, subprocess.CalledProcessError):
        return None


def files(names: Sequence[str]) -> list[str]:
    """The files at and below these paths that belong to the code, named from the root: those under
    git, and outside git all but hidden files and caches. Raises TrainingError if a file there is
    not under git, or git fails."""
    if not _is_under_git():
        return sorted(name for one in names for name in _walk(ROOT / one))
    try:
        untracked = _git("ls-files", "-z", "--others", "--exclude-standard", "--", *names)
        found = _git("ls-files", "-z", "--", *names)
    except (OSError, subprocess.CalledProcessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise TrainingError(
            f"git does not say which files belong to this checkout: {said[0]}. Mend that first."
        ) from error
    if untracked:
        first, *_ = untracked.split("\0")
        raise TrainingError(
            f"{first} is not under git, so it may be no part of this: add it, or take it away."
        )
    return [name for name in found.split("\0") if name]


def _walk(path: Path) -> Iterator[str]:
    for file in path.rglob("*") if path.is_dir() else [path]:
        parts = file.relative_to(ROOT).parts
        is_cache = any(part == "__pycache__" or part.startswith(".") for part in parts)
        if not file.is_dir() and not is_cache:
            yield "/".join(parts)


def _is_under_git() -> bool:
    """Whether this code is a repository itself: it may lie inside one that does not track it."""
    return (ROOT / ".git").exists()


def _git(*arguments: str) -> str:
    # Trusted whoever owns the folder: its code runs here already.
    done = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", *arguments],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=True,
    )
    return done.stdout

"""The files that a Space needs of this checkout, and no others.

Knows which folders the demo runs from; must not know the Hub.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.space.front_matter import join_readme, require_accepted, split_readme
from training.space.pins import Pin

SINGLE = ("app.py", "requirements.txt", "LICENSE")
FOLDERS = ("demo", "embedded")
README = "README.md"
# Made by the Hub with the Space, and its own.
KEPT = frozenset({".gitattributes"})
_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{30,}")

Files = Mapping[str, bytes]


def space_files(root: Path, readme: str) -> dict[str, bytes]:
    """What is to be in the Space, by path; nothing hidden and no caches.

    Raises:
        TrainingError: a file is missing, or has a token in it.
    """
    paths = [root / name for name in SINGLE]
    for name in FOLDERS:
        paths += [path for path in sorted((root / name).rglob("*")) if path.is_file()]
    files = {README: readme.encode()}
    for path in paths:
        relative = path.relative_to(root)
        if "__pycache__" in relative.parts or any(part.startswith(".") for part in relative.parts):
            continue
        try:
            files[relative.as_posix()] = path.read_bytes()
        except OSError as error:
            raise TrainingError(f"Cannot read {relative}: {error.strerror}.") from error
    for name, content in files.items():
        if _TOKEN.search(content):
            raise TrainingError(f"{name} has a Hub token in it. Remove it, and revoke the token.")
    return dict(sorted(files.items()))


def space_readme(
    root: Path, model: Pin | None, datasets: Sequence[str], hardware: str
) -> tuple[str, dict[str, Any]]:
    """The README as it is pushed, and its front matter: with the model that the Space runs.

    Raises:
        TrainingError: the Hub would not accept it.
    """
    values, body = split_readme((root / README).read_text(encoding="utf-8"))
    if model is not None:
        values["models"] = [model.repo_id]
        # Nobody's token is there while a Space is built.
        if not model.closed:
            values["preload_from_hub"] = [model.preload_line()]
    if datasets:
        values["datasets"] = list(datasets)
    if hardware:
        values["suggested_hardware"] = hardware
    there = [*SINGLE, README]
    require_accepted(values, there, (root / "requirements.txt").read_text(encoding="utf-8"))
    return join_readme(values, body), values

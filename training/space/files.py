"""The files that a Space needs of this checkout, and no others.

Knows which folders the demo runs from, and what the Hub demands of a README; must not ask the Hub.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training import working_tree
from training.card import EMBEDDED
from training.errors import TrainingError
from training.safety.check import require_safe
from training.safety.tweets import KnownTweets
from training.space.front_matter import join_readme, require_accepted, split_readme
from training.space.pins import Pin

SINGLE = ("app.py", "requirements.txt", "LICENSE")
FOLDERS = ("demo", EMBEDDED.name)
README = "README.md"
_LOCAL_LINK = re.compile(r"\[([^\]]+)\]\((?![a-z]+:|#)([^)]+)\)")


def checkout_files() -> dict[str, Path]:
    """What of this checkout is to be in the Space, by name; the README comes to it.

    Raises:
        TrainingError: something that does not belong there lies among it, or is missing, or is
            never published: a pickle, a token, a tweet beside the weights.
    """
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
    # Code holds no texts; an index of tweets would some day take a line of it for one.
    weights = {name: path for name, path in paths.items() if EMBEDDED in path.parents}
    require_safe(weights, KnownTweets.by_index(EMBEDDED))
    return paths


def space_readme(
    root: Path, model: Pin | None, datasets: Sequence[str], hardware: str
) -> tuple[str, dict[str, Any]]:
    """The README as it is pushed, and its front matter: with the model that the Space runs.

    Raises:
        TrainingError: the Hub would not accept it.
    """
    values, body = split_readme(_text(root / README))
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
    require_accepted(values, there, _text(root / "requirements.txt"))
    return join_readme(values, _without_dead_links(body)), values


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"{path.name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"{path.name} is not UTF-8: save it so.") from error


def _without_dead_links(body: str) -> str:
    """The text with links to what the Space does not have left as their words."""

    def kept(link: re.Match[str]) -> str:
        return link[0] if link[2].split("/")[0] in (*SINGLE, *FOLDERS) else link[1]

    return _LOCAL_LINK.sub(kept, body)

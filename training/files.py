"""Checkpoint folders and JSON, as the verbs read and write them."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.checkpoints.cache import scratch_folder
from demo.checkpoints.files import METRICS
from demo.checkpoints.persona import persona_of
from demo.checkpoints.resolve import Checkpoint, resolve_checkpoint
from demo.settings import read_settings
from training import TrainingError


def resolve_folder(
    folder: Path, cache_dir: Path | None = None, say: Callable[[str], None] = print
) -> Checkpoint:
    """The checkpoint as the demo would run it: verified, and merged if it is a difference, then
    kept in `cache_dir` or where the settings say. Raises CheckpointError if it cannot be used,
    InvalidSetting if a setting cannot."""
    settings = dataclasses.replace(read_settings(), model_id="", checkpoint=folder)
    settings = dataclasses.replace(settings, cache_dir=cache_dir or settings.cache_dir)
    return resolve_checkpoint(settings, say, lambda checkpoint: checkpoint)


def print_persona(folder: Path, say: Callable[[str], None] = print) -> None:
    """Says whose tweets a checkpoint imitates, or prepared data holds. Raises CheckpointError if it
    says so in a file that cannot be used."""
    say(str(persona_of(folder)))


def require_writable(folder: Path) -> None:
    """Makes the folder, and checks before the work, not after it, that files can be written to it.
    Raises TrainingError if they cannot."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise TrainingError(f"Cannot write to {folder}: {error.strerror}.") from error


@contextmanager
def written_aside(folder: Path) -> Iterator[Path]:
    """A folder to write files into, which replace those of `folder` once all of them are written.
    If that fails or is interrupted, what was there before stays."""
    with scratch_folder(folder) as made:
        yield made
        for path in sorted(made.iterdir()):
            os.replace(path, folder / path.name)


def rounded(values: Any) -> Any:
    """The same value with floats rounded to 4 digits: an interval tells no more. Also of a dict or
    a dataclass, as a dict."""
    if dataclasses.is_dataclass(values) and not isinstance(values, type):
        values = dataclasses.asdict(values)
    if isinstance(values, dict):
        return {name: rounded(value) for name, value in values.items()}
    return round(values, 4) if isinstance(values, float) else values


def read_metrics(folder: Path) -> dict[str, Any]:
    """A checkpoint's metrics, to be added to: read before the work, not after it. Raises
    TrainingError if there are none, or the folder is not writable."""
    path = folder / METRICS
    if not path.is_file():
        raise TrainingError(
            f"{folder} has no {path.name}: it is no checkpoint of finetune's. "
            "(evaluate --dry-run takes any, and writes nothing.)"
        )
    require_writable(folder)
    return read_json(path)


def read_json(path: Path) -> dict[str, Any]:
    """An object of a file that one of the verbs wrote."""
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def write_json(path: Path, value: Any) -> None:
    """Writes indented UTF-8 JSON that ends in a line break. What was there before stays until all
    of it is written."""
    part = path.with_name(f".{path.name}.part")
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False)
        part.write_text(f"{text}\n", encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)

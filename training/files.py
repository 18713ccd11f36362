"""Folders and JSON as every verb writes them; must not know what is written."""

import json
from pathlib import Path
from typing import Any

from training.errors import TrainingError


def require_writable(folder: Path) -> None:
    """Makes the folder, and finds out before the work, not after it, whether it takes files.

    Raises:
        TrainingError: it does not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise TrainingError(f"Cannot write to {folder}: {error.strerror}.") from error


def rounded(values: Any) -> Any:
    """The same, down through its tables, with floats to 4 digits: an interval tells no more."""
    if isinstance(values, dict):
        return {name: rounded(value) for name, value in values.items()}
    return round(values, 4) if isinstance(values, float) else values


def read_metrics(folder: Path) -> dict[str, Any]:
    """A checkpoint's figures, to be added to: read before the work, not after it.

    Raises:
        TrainingError: there are none, or the folder does not take files.
    """
    path = folder / "metrics.json"
    if not path.is_file():
        raise TrainingError(
            f"{folder} has no {path.name}: it is no checkpoint of finetune's. "
            "(evaluate --dry-run takes any, and writes nothing.)"
        )
    require_writable(folder)
    metrics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return metrics


def write_json(path: Path, value: Any) -> None:
    """Writes indented UTF-8 JSON that ends in a line break."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

"""The folder that goes onto the Hub: a checkpoint, whole, with its card, its sums and its export.

Knows what a published checkpoint holds; must not know the Hub's client. The checkpoint itself is
left as it is.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from demo.checkpoints.embedded import BaseFile
from demo.checkpoints.files import (
    BASE,
    DEFINING,
    DIFFERENCE,
    EXPORT_SUBFOLDER,
    METRICS,
    NEEDED_OF_EXPORT,
    PLOT,
    SUMS,
    WEIGHTS,
    write_checksums,
)
from demo.checkpoints.files import GENERATION_CONFIG as GENERATION
from demo.checkpoints.persona import PERSONA, InvalidPersona
from demo.checkpoints.resolve import Checkpoint, CheckpointError, resolve_checkpoint
from demo.generation.openvino.exported import exported_folder
from demo.generation.request import FIELDS
from demo.judging import detector, originals
from demo.settings import InvalidSetting, read_settings
from training.card import EMBEDDED, Publication, render_card
from training.errors import TrainingError
from training.files import write_json

# The contract's files beside weights, config and tokenizer. Judges and plot may be missing.
BESIDES = (METRICS, GENERATION, PERSONA, originals.NAME, detector.NAME, PLOT)
# Of a checkpoint's folder, what is made anew or has gone into the weights.
REPLACED = {"README.md", SUMS, EXPORT_SUBFOLDER, BASE, DIFFERENCE}
# No Hub id begins so.
_PATH_STARTS = ("/", ".", "~")


@dataclass(frozen=True)
class Order:
    """What is to be published, of a checkpoint folder and under a name; `remarks` go into the
    card."""

    checkpoint: Path
    repo_id: str
    remarks: tuple[str, ...]
    with_export: bool


def build(order: Order, out: Path, say: Callable[[str], None]) -> None:
    """Fills an empty folder.

    Raises:
        TrainingError: the checkpoint cannot be used or exported, or the disk takes no more.
    """
    try:
        checkpoint = _resolved(order.checkpoint, say)
        copied = _copy(checkpoint.folder, out)
        for name in sorted({p.name for p in order.checkpoint.iterdir()} - copied - REPLACED):
            say(f"Left out: {name}, which a published checkpoint does not have.")
        is_folder = _without_paths(out)
        _fit_decoding(out)
        write_checksums(out)
        if order.with_export:
            _export(out, order.checkpoint.resolve().name, say)
        base = order.checkpoint / BASE
        publication = Publication(
            order.repo_id,
            BaseFile.read(base) if base.is_file() else None,
            order.remarks,
            is_folder,
        )
        (out / "README.md").write_text(render_card(out, publication), encoding="utf-8")
        write_checksums(out)
    except (CheckpointError, InvalidPersona, InvalidSetting) as error:
        # What is wrong with a copy is wrong with what it was copied from.
        raise TrainingError(str(error).replace(str(out), str(order.checkpoint))) from error
    except (KeyError, TypeError, ValueError, RecursionError, TemplateError) as error:
        raise TrainingError(
            f"{order.checkpoint} cannot be published: its {METRICS} or config is not as training "
            f"writes it ({type(error).__name__}: {error}). Train or evaluate it again."
        ) from error
    except OSError as error:
        raise TrainingError(
            f"The folder to publish could not be written in {out.parent} "
            f"({error.strerror or error}). Make room there (twice the checkpoint's size), or set "
            "TMPDIR to a folder on another disk."
        ) from error


def _resolved(folder: Path, say: Callable[[str], None]) -> Checkpoint:
    """Verified, and merged where it is a difference, as the app does it."""
    settings = read_settings()
    return resolve_checkpoint(
        model_id="",
        model_revision="",
        folder=folder,
        embedded=EMBEDDED,
        base_file=settings.base_file,
        cache_dir=settings.cache_dir,
        say=say,
    )


def _copy(folder: Path, out: Path) -> set[str]:
    weights = {path.name for pattern in WEIGHTS for path in folder.glob(pattern)}
    names = {name for name in {*DEFINING, *BESIDES} if (folder / name).is_file()} | weights
    for name in names:
        shutil.copyfile(folder / name, out / name)
    return names


def _without_paths(folder: Path) -> bool:
    """Leaves of a path of this machine the last name alone; whether the base was such a path."""
    for name in ("config.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            _rewrite(folder / name, _names_shortened)
    metrics = _read(folder / METRICS)
    base = metrics["recipe"]["base"]
    if not is_path(base):
        return False
    _rewrite(folder / METRICS, lambda values: _replaced(values, base, last_name(base)))
    return True


def is_path(base: str) -> bool:
    """Whether a base is a folder or file rather than a Hub id, which has one slash at most."""
    return bool(base) and (
        base.startswith(_PATH_STARTS)
        or "\\" in base
        or base.count("/") > 1
        or base.endswith((".gguf", "/"))
        or Path(base).exists()
    )


def last_name(path: str) -> str:
    """The folder's or file's name alone."""
    return Path(path.replace("\\", "/")).expanduser().resolve().name


def _names_shortened(values: Any) -> Any:
    for key in ("_name_or_path", "name_or_path"):
        if is_path(str(values.get(key, ""))):
            values[key] = last_name(values[key])
    return values


def _replaced(value: Any, old: str, new: str) -> Any:
    """The value with a path replaced wherever it is a text, or, if it looks like a path, in one."""
    if isinstance(value, str):
        if value == old:
            return new
        return value.replace(old, new) if len(Path(old).parts) > 1 else value
    if isinstance(value, dict):
        return {key: _replaced(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, old, new) for inner in value]
    return value


def _fit_decoding(folder: Path) -> None:
    """Decoding defaults with which a plain pipeline works: half of the context is left to the
    prompt, and what is not said is sampled as the demo does."""
    config = _read(folder / "config.json")
    context = config.get("max_position_embeddings") or config.get("n_positions") or 1_024
    given = _read(folder / GENERATION) if (folder / GENERATION).is_file() else {}
    longest = int(given.get("max_new_tokens") or FIELDS["max_new_tokens"].default or 1)
    fitted = {
        "do_sample": True,
        "temperature": FIELDS["temperature"].default,
        "top_p": FIELDS["top_p"].default,
        "top_k": 0,
        **{key: value for key, value in given.items() if value is not None},
        "max_new_tokens": max(1, min(longest, context // 2)),
    }
    if fitted != given:
        write_json(folder / GENERATION, fitted)


def _export(folder: Path, name: str, say: Callable[[str], None]) -> None:
    """Puts the int8 export of exactly these files beside them; the app takes it as it is."""
    built = replace(_resolved(folder, say), name=name, writable=False)
    try:
        made = exported_folder(built, read_settings().cache_dir, say)
    except CheckpointError as error:
        raise TrainingError(f"{error} Give --no-openvino to publish it without.") from error
    (folder / EXPORT_SUBFOLDER).mkdir()
    for wanted in NEEDED_OF_EXPORT:
        shutil.copyfile(made / wanted, folder / EXPORT_SUBFOLDER / wanted)


def _rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    """Changes a JSON file; one that stays as it is keeps its bytes, and so its sum."""
    changed = change(_read(path))
    if changed != _read(path):
        write_json(path, changed)


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content

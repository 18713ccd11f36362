"""The folder of a published checkpoint: weights, card, sums and OpenVINO export, copied from a
trained one, which is left as it is; and the figures that decide whether it may replace another."""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from demo.checkpoints.embedded import BaseFile
from demo.checkpoints.files import (
    BASE,
    CONFIG,
    DEFINING,
    DIFFERENCE,
    EXPORT_SUBFOLDER,
    GENERATION_CONFIG,
    METRICS,
    NEEDED_OF_EXPORT,
    PERSONA,
    PLOT,
    SUMS,
    TOKENIZER_CONFIG,
    WEIGHTS,
    CheckpointError,
    write_checksums,
)
from demo.generation.openvino.exported import exported_folder
from demo.judging import detector, originals
from demo.settings import read_settings
from training import EXPECTED, TrainingError
from training.card import Publication, render_card
from training.files import read_json, resolve_folder, write_json

CARD = "README.md"
# Everything a published checkpoint may hold beside its weights, card, sums and export.
PUBLISHED = (*DEFINING, METRICS, GENERATION_CONFIG, PERSONA, originals.NAME, detector.NAME, PLOT)
# What is made anew from a checkpoint's folder, or has gone into the weights.
REPLACED = {CARD, SUMS, EXPORT_SUBFOLDER, BASE, DIFFERENCE}
# What reading JSON of another shape, and rendering a card from it, raises.
MALFORMED = AttributeError, LookupError, RecursionError, TypeError, ValueError, TemplateError
Say = Callable[[str], None]


def read_evaluated_metrics(folder: Path) -> dict[str, Any]:
    """A checkpoint's figures. Raises TrainingError if there are none, or no bits per byte on test
    among them."""
    try:
        metrics = read_json(folder / METRICS)
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(
            f"{folder} has no {METRICS} that can be read: it is no checkpoint of finetune's."
        ) from error
    if _bits_per_byte(metrics) is None:
        raise TrainingError(
            f"{folder} was not evaluated on test: run `python -m training evaluate --checkpoint "
            f"{folder}` first."
        )
    return metrics


def compare_with_published(
    ours: Mapping[str, Any], published: Mapping[str, Any], force: bool
) -> tuple[str, ...]:
    """Compares bits per byte on test; returns what the card must say of a forced publication.
    Raises TrainingError if the published checkpoint is better or has no figures, and `force` is not
    set."""
    bits, before = _bits_per_byte(ours), _bits_per_byte(published)
    if before is None and not force:
        raise TrainingError(
            f"What is on the Hub has no bits per byte on test in its {METRICS}, so nobody can tell "
            "which is better: name another repository, or give --force-worse, and the card says so."
        )
    if before is None:
        return ("Published over a version that had no figures to compare with.",)
    if bits is None or bits <= before:
        return ()
    same_tweets = _test_set(ours) == _test_set(published)
    other = "" if same_tweets else ", though on another set of tweets"
    if not force:
        raise TrainingError(
            f"It takes {bits:.4f} bits per byte on test, and what is on the Hub {before:.4f}"
            f"{other}: publish a better one, or give --force-worse, and the card says so."
        )
    return (
        f"Published although the version before it was better: {before:.4f} bits per byte on "
        f"test, where this one takes {bits:.4f}{other}.",
    )


def _bits_per_byte(metrics: Mapping[str, Any]) -> float | None:
    try:
        bits = float(metrics["evaluation"]["test"]["checkpoint"]["bits_per_byte"])
    except (KeyError, TypeError, ValueError):
        return None
    return bits if math.isfinite(bits) and bits > 0 else None


def _test_set(metrics: Mapping[str, Any]) -> Any:
    try:
        return metrics["data"]["splits"]["test"]["texts_sha256"]
    except (KeyError, TypeError):
        return None


def build_checkpoint(
    checkpoint: Path,
    repo_id: str,
    out: Path,
    say: Say,
    remarks: tuple[str, ...] = (),
    with_export: bool = True,
) -> None:
    """Fills the empty folder `out`; the card names `repo_id` and quotes the `remarks`. Raises
    TrainingError if the checkpoint cannot be used or exported."""
    try:
        resolved = resolve_folder(checkpoint, say=say)
        copied = _copy(resolved.folder, out)
        for name in sorted({path.name for path in checkpoint.iterdir()} - copied - REPLACED):
            say(f"Left out: {name}, which a published checkpoint does not have.")
        base_is_folder = _shorten_paths(out)
        write_checksums(out)
        if with_export:
            _add_export(out, checkpoint.resolve().name, say)
        base = checkpoint / BASE
        publication = Publication(
            repo_id, BaseFile.read(base) if base.is_file() else None, remarks, base_is_folder
        )
        (out / CARD).write_text(render_card(out, publication), encoding="utf-8")
        write_checksums(out)
    except EXPECTED as error:
        # The copy's faults are the original's.
        raise TrainingError(str(error).replace(str(out), str(checkpoint))) from error
    except MALFORMED as error:
        raise TrainingError(
            f"{checkpoint} cannot be published: its {METRICS} or config is not as training "
            f"writes it ({type(error).__name__}: {error}). Train or evaluate it again."
        ) from error


def _copy(folder: Path, out: Path) -> set[str]:
    weights = {path.name for pattern in WEIGHTS for path in folder.glob(pattern)}
    names = {name for name in PUBLISHED if (folder / name).is_file()} | weights
    for name in names:
        shutil.copyfile(folder / name, out / name)
    return names


def _shorten_paths(folder: Path) -> bool:
    """Cuts paths of this machine down to their last name; returns whether the base was a path."""
    base = read_json(folder / METRICS)["recipe"]["base"]
    for name in (METRICS, CONFIG, TOKENIZER_CONFIG):
        if not (folder / name).is_file():
            continue
        values = read_json(folder / name)
        paths = {base, *(str(values.get(key, "")) for key in ("_name_or_path", "name_or_path"))}
        shortened = values
        for path in filter(is_path, paths):
            shortened = _replace_text(shortened, path, _last_name(path))
        # An unchanged file keeps its bytes, and so its sum.
        if shortened != values:
            write_json(folder / name, shortened)
    return is_path(base)


def is_path(base: str) -> bool:
    """Whether a base is a folder or file rather than a Hub id, which has one slash at most."""
    return bool(base) and (
        base.startswith(("/", ".", "~"))
        or "\\" in base
        or base.count("/") > 1
        or base.endswith((".gguf", "/"))
        or Path(base).exists()
    )


def _last_name(path: str) -> str:
    return Path(path.replace("\\", "/")).expanduser().resolve().name


def _replace_text(value: Any, old: str, new: str) -> Any:
    """The JSON value with a text replaced, also inside other texts if it has several parts: a
    single word may be there by chance."""
    if isinstance(value, str):
        is_inside = len(Path(old).parts) > 1
        return new if value == old else value.replace(old, new) if is_inside else value
    if isinstance(value, dict):
        return {key: _replace_text(inner, old, new) for key, inner in value.items()}
    return [_replace_text(one, old, new) for one in value] if isinstance(value, list) else value


def _add_export(folder: Path, name: str, say: Say) -> None:
    """Adds the int8 export of exactly these files; the app uses it as it is."""
    resolved = replace(resolve_folder(folder, say=say), name=name, writable=False)
    try:
        made = exported_folder(resolved, read_settings().cache_dir, say)
    except CheckpointError as error:
        raise TrainingError(f"{error} Give --no-openvino to publish it without.") from error
    (folder / EXPORT_SUBFOLDER).mkdir()
    for wanted in NEEDED_OF_EXPORT:
        shutil.copyfile(made / wanted, folder / EXPORT_SUBFOLDER / wanted)

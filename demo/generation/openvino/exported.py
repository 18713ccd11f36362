"""The OpenVINO export of a checkpoint: where it is found or made, and what it may hold.

Anybody may have shipped one, so that is decided before OpenVINO reads it. The model's file is XML
that describes a graph. Taken are the operations that `graph` writes, and constants that lie inside
the file of weights.
"""

import io
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from xml.etree import ElementTree

from demo.checkpoints import cache
from demo.checkpoints.allow_list import require_tokenizer
from demo.checkpoints.files import (
    CONFIG,
    EXPORT_SUBFOLDER,
    GENERATION_CONFIG,
    NEEDED_OF_EXPORT,
    CheckpointError,
    is_whole,
    read_object,
    require_file,
    weights_of,
)
from demo.subprocesses import ModuleFailed, memory_bytes, run_module

if TYPE_CHECKING:
    from demo.checkpoints.resolve import Checkpoint

DESCRIPTION, MODEL, WEIGHTS = "export.json", "openvino_model.xml", "openvino_model.bin"
# Raise it when the export writes something else: older exports are then made anew.
FORMAT = 3
PRECISIONS = ("int8", "f32")
MAX_SIZE = 2**24
EXPORT = "demo.generation.openvino.export"
# OpenVINO's paged attention on a CPU keeps the cache in blocks of this many tokens.
BLOCK_TOKENS = 32
# None of them loops, calls another model or reads a file.
OPERATIONS = frozenset({
    "Add", "Assign", "Broadcast", "Concat", "Const", "Convert", "Divide", "Gather", "Gelu",
    "LessEqual", "LogicalAnd", "MVN", "MatMul", "Multiply", "Parameter", "Power", "Range",
    "ReadValue", "ReduceMean", "Reshape", "Result", "ScaledDotProductAttention", "Select",
    "ShapeOf", "Split", "Sqrt", "Squeeze", "Subtract", "Swish", "Transpose", "Unsqueeze",
    "VariadicSplit",
})  # fmt: skip
# OpenVINO GenAI reads both files.
CONFIGS = (CONFIG, GENERATION_CONFIG)
CONFIG_KEYS = {"model_type", "bos_token_id", "eos_token_id", "pad_token_id"}


@dataclass(frozen=True)
class Exported:
    """An export's description: `source` is the fingerprint of the checkpoint that it was made from,
    `vocabulary` the number of tokens the model knows, `cache_values_per_token` how many numbers one
    token takes in the key-value cache."""

    source: str
    precision: str
    eos_token_id: int
    vocabulary: int
    context_tokens: int
    cache_values_per_token: int
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads a folder's description; raises CheckpointError unless `export` could have written
        it."""
        values = read_object(folder, DESCRIPTION)
        if values.get("format") != FORMAT:
            raise CheckpointError(f"{folder} is not of format {FORMAT}.")
        try:
            exported = cls(**values)
        except TypeError as error:
            raise CheckpointError(f"{folder} has no readable {DESCRIPTION}.") from error
        sizes = (exported.vocabulary, exported.context_tokens, exported.cache_values_per_token)
        if (
            not all(type(size) is int and 1 <= size <= MAX_SIZE for size in sizes)
            or type(exported.eos_token_id) is not int
            or not 0 <= exported.eos_token_id < exported.vocabulary
            or exported.precision not in PRECISIONS
        ):
            raise CheckpointError(f"{DESCRIPTION} of {folder} has sizes that no export has.")
        return exported

    def write(self, folder: Path) -> None:
        text = json.dumps(asdict(self), indent=2) + "\n"
        (folder / DESCRIPTION).write_text(text, encoding="utf-8")


def exported_folder(checkpoint: "Checkpoint", cache_dir: Path, say: Callable[[str], None]) -> Path:
    """The export that the checkpoint ships, or one from an earlier start, or one made now. It is
    kept in the checkpoint's own folder if that can be written to, else in `cache_dir`, where only
    the last used ones stay. Raises CheckpointError if the export cannot be made or kept."""
    inside = checkpoint.folder / EXPORT_SUBFOLDER
    cached = cache_dir / EXPORT_SUBFOLDER / checkpoint.fingerprint
    sha256 = cache.Sha256Cache(cache_dir).sha256

    def is_export(folder: Path) -> bool:
        try:
            exported = Exported.read(folder)
            vocabulary = read_object(checkpoint.folder, CONFIG).get("vocab_size")
            if (exported.source, exported.vocabulary) != (checkpoint.fingerprint, vocabulary):
                return False
            # One that a checkpoint ships may be anybody's; ours in the cache pass as well.
            require_ordinary_export(folder, exported.vocabulary)
            return is_whole(folder, sha256, required=NEEDED_OF_EXPORT)
        except CheckpointError as error:
            if folder.is_dir():
                say(f"The export in {folder} is not used: {error}")
            return False

    def export_to(folder: Path) -> Path:
        say(f"Exporting {checkpoint.name} for OpenVINO, once …")
        source, fingerprint = str(checkpoint.folder), checkpoint.fingerprint
        cache.build_folder(
            folder,
            lambda out: run_module(EXPORT, source, str(out), fingerprint, say=say),
            is_export,
            # int8 of what takes four bytes, or two.
            sum(path.stat().st_size for path in weights_of(checkpoint.folder)) // 4,
        )
        return folder

    cache.remove_unfinished(checkpoint.folder)
    cache.use_folder(cached)
    try:
        for folder in (inside, cached):
            if is_export(folder):
                return folder
        if checkpoint.writable:
            with suppress(cache.CacheUnwritable):
                return export_to(inside)
        return export_to(cached)
    except ModuleFailed as error:
        raise CheckpointError(f"OpenVINO cannot run {checkpoint.name}: {error}") from error
    finally:
        cache.prune_folders(cached.parent)


def require_ordinary_export(folder: Path, vocabulary: int) -> None:
    """Checks an export's files; `vocabulary` is how many tokens its model knows. Raises
    CheckpointError if one is missing, a link to outside, too large or not what an export of ours
    holds."""
    if folder.is_symlink():
        raise CheckpointError("it is a link to another folder.")
    # OpenVINO GenAI takes whatever it finds by its name, a tokenizer of its own, say.
    if others := sorted(set(os.listdir(folder)) - set(NEEDED_OF_EXPORT)):
        raise CheckpointError(f"it holds {others[0]}, which no export has.")
    found = {name: require_file(folder, name) for name in NEEDED_OF_EXPORT}
    size = found[WEIGHTS].stat().st_size
    if size > memory_bytes():
        raise CheckpointError(f"{WEIGHTS} is larger than this machine's memory.")
    for name in CONFIGS:
        if read_object(folder, name).keys() - CONFIG_KEYS:
            raise CheckpointError(f"its {name} holds what no export has.")
    require_tokenizer(folder, folder.parent.name, vocabulary)
    _require_graph(found[MODEL].read_bytes(), size)


def _require_graph(content: bytes, weights_bytes: int) -> None:
    # Entities are declared in a DOCTYPE; without one none can grow. Other encodings have NULs.
    if b"<!" in content or b"\0" in content:
        raise CheckpointError(f"{MODEL} declares what a graph does not need.")
    try:
        for _, element in ElementTree.iterparse(io.BytesIO(content)):
            if element.tag == "layer":
                _require_layer(element, weights_bytes)
                element.clear()
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{MODEL} is damaged: {error}.") from error


def _require_layer(layer: ElementTree.Element, weights_bytes: int) -> None:
    kind = layer.get("type")
    if kind not in OPERATIONS:
        raise CheckpointError(f"{MODEL} has the operation {str(kind)[:40]!r}, which is not taken.")
    data = layer.find("data")
    if kind == "Const" and data is not None:
        offset, size = int(data.get("offset", "-1")), int(data.get("size", "-1"))
        if offset < 0 or size < 0 or offset + size > weights_bytes:
            raise CheckpointError(f"{MODEL} places a constant outside {WEIGHTS}.")

"""What an OpenVINO export may hold, decided before OpenVINO reads it: anybody may have shipped it.

The model's file is XML that describes a graph. Taken are the operations that `graph` writes, and
constants that lie inside the file of weights.
"""

import io
import os
from pathlib import Path
from xml.etree import ElementTree

from demo.checkpoints.files import (
    NEEDED_OF_EXPORT,
    CheckpointError,
    find_file,
    read_file,
    read_object,
)
from demo.checkpoints.ordinary import require_tokenizer
from demo.subprocesses import memory_bytes

MODEL, WEIGHTS = "openvino_model.xml", "openvino_model.bin"
# None of them loops, calls another model or reads a file.
OPERATIONS = frozenset({
    "Add", "Assign", "Broadcast", "Concat", "Const", "Convert", "Divide", "Gather", "Gelu",
    "LessEqual", "LogicalAnd", "MVN", "MatMul", "Multiply", "Negative", "Parameter", "Power",
    "Range", "ReadValue", "ReduceMean", "Reshape", "Result", "ScaledDotProductAttention",
    "Select", "ShapeOf", "Split", "Sqrt", "Squeeze", "Subtract", "Swish", "Transpose",
    "Unsqueeze",
})  # fmt: skip
# OpenVINO GenAI reads both files.
CONFIG_KEYS = {"model_type", "bos_token_id", "eos_token_id", "pad_token_id"}


def require_ordinary_export(folder: Path, vocabulary: int) -> None:
    """Checks an export's files; `vocabulary` is how many tokens its model knows.

    Raises:
        CheckpointError: one is missing, a link to outside, too large or not what an export of ours
            holds.
    """
    if folder.is_symlink():
        raise CheckpointError("it is a link to another folder.")
    # OpenVINO GenAI takes whatever it finds by its name, a tokenizer of its own, say.
    if others := sorted(set(os.listdir(folder)) - set(NEEDED_OF_EXPORT)):
        raise CheckpointError(f"it holds {others[0]}, which no export has.")
    found = {name: find_file(folder, name) for name in NEEDED_OF_EXPORT}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise CheckpointError(f"it has no {missing[0]}.")
    weights = found[WEIGHTS]
    assert weights is not None
    size = weights.stat().st_size
    if size > memory_bytes():
        raise CheckpointError(f"{WEIGHTS} is larger than this machine's memory.")
    for name in ("config.json", "generation_config.json"):
        if read_object(folder, name).keys() - CONFIG_KEYS:
            raise CheckpointError(f"its {name} holds what no export has.")
    require_tokenizer(folder, folder.parent.name, vocabulary)
    _require_graph(read_file(folder, MODEL) or b"", size)


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

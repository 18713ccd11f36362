"""Hostile checkpoints, and starts with them in a process that may take little memory and time.

Each function spoils an ordinary tiny checkpoint; `CASES` says what is said of it.
"""

import json
import os
import resource
import shutil
import signal
import struct
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from demo.checkpoints.files import CheckpointError
from demo.checkpoints.persona import InvalidPersona
from demo.checkpoints.resolve import resolve_checkpoint
from demo.checkpoints.weights import load_model
from demo.generation.openvino.exported import Exported, require_ordinary_export
from demo.generation.profile import read_profile
from demo.judging import detector, originals
from demo.judging.judges import Judges, read_metrics
from demo.settings import read_settings
from demo.ui.about import figures
from tests import tiny

Spoil = Callable[[Path], object]
SECONDS = 10
# Address space beyond what the process has when it begins.
MORE_BYTES = 600_000_000
# What no checkpoint may let a start read.
SECRET = "what stands in another file"
SAFE = (CheckpointError, InvalidPersona)
# Imported once, in the process from which the others are forked: transformers imports lazily.
LOADED_BEFORE = (tiny.gpt2, AutoTokenizer, AutoModelForCausalLM)


@dataclass(frozen=True)
class Outcome:
    """What a start with a checkpoint ended in: the refusal, what was said, the figures shown."""

    refusal: str
    said: tuple[str, ...]
    figures: dict[str, Any]


def serve() -> None:
    """For a process of its own: does with each checkpoint what a start does, within limits of time
    and memory. Its standard input is the connection from which it is told which, and into which it
    sends the Outcome; what is no refusal of ours ends it."""
    here = Path("/proc/self/statm")
    pages = int(here.read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    torch.set_num_threads(1)
    with Connection(os.dup(0)) as line:
        while True:
            start, folder = line.recv()
            signal.alarm(SECONDS)
            line.send(start(folder))
            signal.alarm(0)


def load(folder: Path) -> Outcome:
    """A start up to a loaded model."""
    said: list[str] = []
    try:
        read_profile(folder)
        settings = read_settings(
            {"CHECKPOINT": str(folder), "CACHE_DIR": str(folder.parent / "cache")}
        )
        checkpoint = resolve_checkpoint(settings, said.append, lambda checkpoint: checkpoint)
        load_model(checkpoint.folder, torch.float32, "cpu")
        judges, metrics = Judges.load(folder, said.append), read_metrics(folder)
        if judges.detector:
            judges.detector.judge("Tea for everybody")
        return Outcome("", tuple(said), figures(metrics))
    except SAFE as error:
        return Outcome(str(error), tuple(said), {})


def check_export(folder: Path) -> Outcome:
    """The same for an export that a checkpoint ships, up to where OpenVINO would read it."""
    try:
        require_ordinary_export(folder, Exported.read(folder).vocabulary)
        return Outcome("", (), {})
    except SAFE as error:
        return Outcome(str(error), (), {})


def sparse(path: Path, size: int, start: bytes = b"") -> None:
    """A file of any size that takes no room on the disk."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)


def text(name: str, content: str | bytes) -> Spoil:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / name).write_bytes(data)


def edited(name: str, **changes: Any) -> Spoil:
    """JSON with other values."""

    def spoil(folder: Path) -> None:
        path = folder / name
        values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        path.write_text(json.dumps({**values, **changes}), encoding="utf-8")

    return spoil


def huge(name: str, size: int = 10**9) -> Spoil:
    return lambda folder: sparse(folder / name, size)


def pipe(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return spoil


def linked(name: str, target: str = "") -> Spoil:
    """A link to a device, or to a file outside that would do in its place."""

    def spoil(folder: Path) -> None:
        path, outside = folder / name, folder.parent / "outside"
        if path.is_file():
            shutil.move(path, outside)
        else:
            outside.write_text(json.dumps({"a": SECRET}), encoding="utf-8")
        path.symlink_to(target or outside)

    return spoil


def directory(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return spoil


def weights(header: Any, data: bytes = b"", size: int | None = None) -> Spoil:
    """A safetensors file with that header; `size` is what the header says of its own length."""
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    start = struct.pack("<Q", len(content) if size is None else size) + content + data
    return text("model.safetensors", start)


def judge(name: str, kind: str, facts: str, dtype: str, count: int, size: int) -> Spoil:
    """A judge's file, of so many zeros."""

    def spoil(folder: Path) -> None:
        tensor = {"dtype": dtype, "shape": [count], "data_offsets": [0, count * size]}
        header = json.dumps({"__metadata__": {kind: facts}, kind: tensor}).encode()
        start = struct.pack("<Q", len(header)) + header
        sparse(folder / name, len(start) + count * size, start)

    return spoil


def detector_file(**changes: Any) -> Spoil:
    facts: dict[str, Any] = {
        "intercept": 0.5, "real_texts": 1, "generated_texts": 1, "regularisation": 1.0, "seed": 1,
    }  # fmt: skip
    content = json.dumps({**facts, **changes})
    return judge(detector.NAME, detector.KIND, content, "F32", detector.BUCKETS, 4)


def tokenizer(**changes: Any) -> Spoil:
    return edited("tokenizer.json", **changes)


def token(content: str, number: int) -> dict[str, Any]:
    switches = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": number, "content": content, **switches}


def vocabulary_with_a_huge_id(folder: Path) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["model"]["vocab"]["the"] = 4_000_000_000
    path.write_text(json.dumps(values), encoding="utf-8")


def doubled(folder: Path) -> None:
    path = folder / "config.json"
    start = path.read_text(encoding="utf-8").rstrip().removesuffix("}")
    path.write_text(f'{start}, "vocab_size": 1}}', encoding="utf-8")


def listed_junk(folder: Path) -> None:
    sparse(folder / "junk.dat", 10**12)
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8")
    (folder / "SHA256SUMS").write_text(f"{lines}{'0' * 64}  junk.dat\n", encoding="utf-8")


def adapter(folder: Path) -> None:
    """One whose weights a library would add to the model's, or fail over."""
    values = {"peft_type": "LORA", "base_model_name_or_path": str(folder.parent), "r": 10**9}
    (folder / "adapter_config.json").write_text(json.dumps(values), encoding="utf-8")


def a_shard_outside(folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder.parent / "model-2.safetensors")
    index(folder.parent / "model-2.safetensors")(folder)


def index(shard: object) -> Spoil:
    value = shard if isinstance(shard, int | list) else str(shard)
    return text("model.safetensors.index.json", json.dumps({"weight_map": {"a": value}}))


def group(real: str, value: str) -> str:
    share = f'{{"value": {value}, "low": 0.1, "high": 0.9}}'
    figures = f'{{"real": {real}, "generated": 1, "accuracy": {share}, "roc_auc": {share}}}'
    return f'{{"judges": {{"detector": {{"by_length": {{"0-59": {figures}}}}}}}}}'


def bits_per_byte(value: str) -> str:
    return f'{{"evaluation": {{"test": {{"checkpoint": {{"bits_per_byte": {value}}}}}}}}}'


def spoiled(good: Path, folder: Path, spoil: Spoil, with_sums: bool = False) -> Path:
    """A copy of a good checkpoint with one thing wrong."""
    shutil.copytree(good, folder)
    if not with_sums:
        (folder / "SHA256SUMS").unlink()
    spoil(folder)
    return folder


DEEP = "[" * 100_000 + "]" * 100_000
READ_AS_JSON = ("config.json", "tokenizer_config.json", "tokenizer.json")
# Read when the page is built as well, before anything was verified.
READ_EARLY = ("generation_config.json", "persona.json")
OTHERS = (
    "metrics.json", "model.safetensors", "originals.safetensors", "detector.safetensors",
    "SHA256SUMS", "curve.png", "model.safetensors.index.json",
)  # fmt: skip
A_SPLIT = {"type": "Split", "behavior": "Isolated", "invert": False}
REFUSED: dict[str, tuple[Spoil, str]] = {
    **{f"{name} is deep": (text(name, f'{{"a": {DEEP}}}'), f"{name}.*nests too deep")
       for name in READ_AS_JSON},
    **{f"{name} is no UTF-8": (text(name, b'{"a": "\xff"}'), f"{name}.*(utf-8|JSON)")
       for name in READ_AS_JSON},
    **{f"{name} is a list": (text(name, "[1]"), "not a JSON object|not one of byte pairs")
       for name in READ_AS_JSON},
    **{f"{name} is not finite": (text(name, '{"a": 1e999}'), f"{name}.*not finite")
       for name in READ_AS_JSON},
    **{f"{name} has half a pair": (text(name, r'{"a": "\ud800"}'), f"{name}.*surrogate pair")
       for name in READ_AS_JSON},
    **{f"{name} has many values": (text(name, f'{{"a": [{"0," * 3_999_999}0]}}'),
       f"{name}.*(values|bytes; at most)") for name in READ_AS_JSON},
    **{f"{name} is huge": (huge(name), f"{name}.*1,000,000,000 bytes; at most")
       for name in (*READ_AS_JSON, *READ_EARLY, *OTHERS) if name != "model.safetensors"},
    **{f"{name} is a pipe": (pipe(name), f"{name}.*not an ordinary file")
       for name in (*READ_AS_JSON, *READ_EARLY, *OTHERS)},
    **{f"{name} is a device": (linked(name, "/dev/zero"), f"{name}.*(outside|ordinary)")
       for name in (*READ_AS_JSON, *READ_EARLY, *OTHERS)},
    **{f"{name} is outside": (linked(name), f"{name}.*link to a file outside")
       for name in (*READ_AS_JSON, *READ_EARLY, *OTHERS)},
    **{f"{name} is a directory": (directory(name), f"{name}.*not an ordinary file")
       for name in (*READ_AS_JSON, *READ_EARLY, *OTHERS)},
    "a loop": (linked("model-2.safetensors", "model-2.safetensors"), "cannot be read"),
    "a name twice": (doubled, "config.json.*a name is there twice"),
    **{f"{key} {value}": (edited("config.json", **{key: value}), f"config.json.*{key}")
       for key in ("vocab_size", "n_embd", "n_layer", "n_head", "n_positions")
       for value in (10**12, 10**6 if key != "n_positions" else 10**9, 0, -5, "x", 2.5, [1])},
    "n_inner": (edited("config.json", n_inner=10**12), "n_inner"),
    "num_labels": (edited("config.json", num_labels=10**8), "num_labels"),
    "an architecture": (edited("config.json", model_type="rag"), "architecture 'rag'"),
    "no architecture": (edited("config.json", model_type=[1]), "architecture"),
    "a kernel": (edited("config.json", attn_implementation="evil/kernel"), "attn_implementation"),
    "quantised": (edited("config.json", quantization_config={"quant_method": "gptq"}),
                  "quantization_config"),
    "code": (edited("config.json", auto_map={"AutoConfig": "x.Y"}), "auto_map"),
    "a text for a number": (edited("config.json", layer_norm_epsilon="x"), "layer_norm_epsilon"),
    "an index that leads out": (index("../../../../etc/passwd"), "not a file inside"),
    "an absolute index": (index("/etc/passwd"), "not a file inside"),
    "a shard outside": (a_shard_outside, "not a file inside"),
    "an index of numbers": (index(1), "weight_map"),
    "an index of lists": (index(["x"]), "weight_map"),
    "a deep index": (text("model.safetensors.index.json", DEEP), "nests too deep"),
    "a header of 2^60 bytes": (weights({}, size=2**60), "at most 8,000,000 are read"),
    "a header of 99 MB": (weights({}, size=99_000_000), "at most 8,000,000 are read"),
    "overlapping weights": (weights({name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
                                     for name in "ab"}, bytes(16)), "damaged"),
    "weights that end outside": (weights({"a": {"dtype": "F32", "shape": [2**40],
                                                "data_offsets": [0, 2**42]}}), "damaged"),
    "a deep header": (weights(DEEP.encode()), "damaged"),
    "a terabyte": (huge("model.safetensors", 10**12), "GB of weights; this machine has"),
    "a terabyte beside": (huge("other.safetensors", 10**12), "GB of weights; this machine has"),
    "a damaged list": (text("SHA256SUMS", f"{'0' * 64}  ../../etc/passwd\n"), "damaged"),
    "a sum twice": (text("SHA256SUMS", f"{'0' * 64}  a\n{'1' * 64}  a\n"), "two sums"),
    "a tokenizer class": (edited("tokenizer_config.json", tokenizer_class="RagTokenizer"),
                          "RagTokenizer"),
    "other files": (edited("tokenizer_config.json", fast_tokenizer_files=["../x"]),
                    "fast_tokenizer_files"),
    "backtracking": (tokenizer(pre_tokenizer={**A_SPLIT, "pattern": {"Regex": "(a+)+$"}}),
                     "regular expression"),
    "a text that grows": (tokenizer(normalizer={"type": "Replace", "content": "e" * 10**6,
                                                "pattern": {"String": "e"}}), "longer"),
    "nothing that grows": (tokenizer(normalizer={"type": "Replace", "content": "e",
                                                 "pattern": {"String": ""}}), "longer"),
    "many parts": (tokenizer(normalizer={"type": "Sequence",
                                        "normalizers": [{"type": "NFC"}] * 99}), "at most 64"),
    "an unknown part": (tokenizer(normalizer={"type": "Precompiled"}), "Precompiled"),
    "an empty token": (tokenizer(added_tokens=[token("", 1)]), "empty"),
    "an added id": (tokenizer(added_tokens=[token("z", 2**32 - 1)]), "token id 4294967295"),
    "an id": (vocabulary_with_a_huge_id, "token id 4000000000"),
}  # fmt: skip
TAKEN: dict[str, Spoil] = {
    "an adapter": adapter,
    "a huge adapter": huge("adapter_config.json"),
    "a huge template": huge("chat_template.jinja"),
    "a template": edited("tokenizer_config.json", chat_template="{{ 1 / 0 }}"),
    "a pipe of no name of ours": pipe("notes"),
    "paths of elsewhere": edited("config.json", _name_or_path="/etc", base_model="/etc/passwd"),
    "absurd decoding": text(
        "generation_config.json",
        f'{{"max_new_tokens": -1, "top_k": 1{"0" * 400}, "temperature": -1, "top_p": [1]}}',
    ),
    "decoding that is deep": text("generation_config.json", DEEP),
    "decoding that is no number": text("generation_config.json", '{"top_p": NaN}'),
    "deep figures": text("metrics.json", DEEP),
    "figures of infinity": text("metrics.json", group("1e999", "1")),
    "figures that are not numbers": text("metrics.json", group("1", "NaN")),
    "figures too large": text("metrics.json", bits_per_byte(f"1{'0' * 400}")),
    "figures too large for a float": text("metrics.json", group("1", f"1{'0' * 400}")),
}
WITHOUT_THE_JUDGE: dict[str, Spoil] = {
    "deep facts": judge(detector.NAME, detector.KIND, DEEP, "F32", detector.BUCKETS, 4),
    "facts in a list": judge(detector.NAME, detector.KIND, "[1]", "F32", detector.BUCKETS, 4),
    "a huge intercept": detector_file(intercept=10**400),
    "no number": detector_file(intercept=float("nan")),
    "a count that is a text": detector_file(real_texts="<b>"),
    "an index that lies": judge(
        originals.NAME, originals.KIND,
        json.dumps({"texts": 1, "windows": 1, "bits": 2**40, "hashes": 1,
                    "false_positive_rate": 0.1}), "U8", 1_000, 1,
    ),
}  # fmt: skip
GRAPH = '<net><layers><layer id="0" type="{}"><data {}/></layer></layers></net>'
BILLION_LAUGHS = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><net name="&c;"/>'
EXPORTS: dict[str, tuple[Spoil, str]] = {
    "entities": (text("openvino_model.xml", BILLION_LAUGHS), "does not need"),
    "UTF-16": (text("openvino_model.xml", BILLION_LAUGHS.encode("utf-16")), "does not need"),
    "a loop": (text("openvino_model.xml", GRAPH.format("Loop", "")), "operation 'Loop'"),
    "a constant outside": (text("openvino_model.xml",
                                GRAPH.format("Const", f'offset="{2**62}" size="8"')), "outside"),
    "no XML": (text("openvino_model.xml", "<net>"), "damaged"),
    "a huge graph": (huge("openvino_model.xml"), "at most"),
    "weights cut short": (text("openvino_model.bin", b""), "outside"),
    "a terabyte": (huge("openvino_model.bin", 10**12), "larger than this machine's memory"),
    "a pipe": (pipe("openvino_model.bin"), "not an ordinary file"),
    "a link": (linked("openvino_model.bin"), "outside the folder"),
    "a tokenizer of OpenVINO's": (text("openvino_tokenizer.xml", "<net/>"), "holds openvino_tok"),
    "a template": (edited("config.json", chat_template="{{ x }}"), "holds what no export has"),
    "backtracking": (tokenizer(pre_tokenizer={**A_SPLIT, "pattern": {"Regex": "(a+)+$"}}),
                     "regular expression"),
    "a context of 10^12": (edited("export.json", context_tokens=10**12), "sizes that no export"),
    "no cache": (edited("export.json", cache_values_per_token=0), "sizes that no export"),
    "an end outside": (edited("export.json", eos_token_id=10**6), "sizes that no export"),
    "a deep description": (text("export.json", DEEP), "at most 10,000 are read"),
}  # fmt: skip

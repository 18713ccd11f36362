"""What an ordinary checkpoint may say: which architectures, sizes and tokenizers are taken.

Decided from its small files and the headers of its weights, before a library reads any of them.
Nothing here imports torch or transformers.
"""

import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from demo.checkpoints.files import (
    DEFINING,
    WEIGHTS,
    CheckpointError,
    find_file,
    needed_files,
    read_json,
    read_object,
    require_file,
    weights_of,
)
from demo.subprocesses import memory_bytes

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
# Decoders of text whose code in transformers takes everything from the config's numbers: none
# loads another model, fetches anything or calls a library of its own.
ARCHITECTURES = (
    "gpt2", "llama", "gemma", "gemma2", "gemma3_text", "gpt_neo", "gpt_neox", "gptj", "granite",
    "mistral", "olmo", "olmo2", "opt", "phi", "phi3", "qwen2", "qwen3", "smollm3", "stablelm",
)  # fmt: skip
# Keys with which a file of settings has a library run or fetch something else.
REFUSED_KEYS: Mapping[str, tuple[str, ...]] = {
    CONFIG: ("auto_map", "attn_implementation", "_attn_implementation", "experts_implementation",
             "quantization_config", "custom_pipelines"),
    TOKENIZER_CONFIG: ("auto_map", "fast_tokenizer_files"),
}  # fmt: skip
LAYERS = ("n_layer", "num_hidden_layers", "num_layers")
# Each is a dimension of some weight, or divides one.
DIMENSIONS = (
    "vocab_size", "n_embd", "hidden_size", "n_head", "num_attention_heads", "num_heads",
    "num_key_value_heads", "head_dim", "n_inner", "intermediate_size", "ffn_dim",
    "word_embed_proj_dim", "num_labels",
)  # fmt: skip
CONTEXT = ("n_positions", "max_position_embeddings", "n_ctx")
MAX_CONTEXT = 2**24
MAX_HEADER_BYTES = 8_000_000
TOKENIZER_CLASSES = (
    "GPT2Tokenizer", "LlamaTokenizer", "GPTNeoXTokenizer", "GemmaTokenizer", "Qwen2Tokenizer",
    "CodeGenTokenizer", "PreTrainedTokenizer", "TokenizersBackend",
)  # fmt: skip
# What a tokenizer may be built of: parts whose work grows with the text, not with what they say.
TOKENIZER_PARTS = (
    "Sequence", "ByteLevel", "Split", "Replace", "Prepend", "NFC", "NFD", "NFKC", "NFKD",
    "Lowercase", "Strip", "Metaspace", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit",
    "ByteFallback", "Fuse", "TemplateProcessing", "RobertaProcessing",
)  # fmt: skip
MAX_TOKENIZER_PARTS = 64
# Another regular expression could take hours over one prompt. These are of GPT-2, Llama 3, Qwen 2
# and their relatives.
_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_ANY_CASE = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
KNOWN_PATTERNS = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    *(
        contractions + r"|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits
        + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        for contractions in (_CONTRACTIONS, _ANY_CASE)
        for digits in (r"\p{N}", r"\p{N}{1,2}", r"\p{N}{1,3}")
    ),
)  # fmt: skip


def require_ordinary(folder: Path, name: str) -> None:
    """Decides whether a folder is a checkpoint that may be loaded.

    Raises:
        CheckpointError: it has no weights in safetensors, brings code, asks for more memory than
            its weights take or the machine has, or for what is not listed above.
    """
    config, tokenizer_config = (read_object(folder, one) for one in REFUSED_KEYS)
    for settings, values in ((CONFIG, config), (TOKENIZER_CONFIG, tokenizer_config)):
        _require_plain(values, settings, name)
    if not weights_of(folder):
        raise CheckpointError(
            f"{name} has no weights in safetensors, and pickled ones are never loaded: "
            "convert them with `save_pretrained`."
        )
    _require_shards(folder)
    _require_sizes(config, read_shapes(folder), name)
    require_tokenizer(folder, name, config["vocab_size"])
    _require_class(tokenizer_config, name)


def require_room(folder: Path, name: str) -> None:
    """Raises CheckpointError if a folder's weights are larger than this machine's memory."""
    files = needed_files(folder)
    size = sum(path.stat().st_size for one, path in files.items() if one.endswith(".safetensors"))
    if size > memory_bytes():
        raise CheckpointError(
            f"{name} has {size / 1e9:,.1f} GB of weights; this machine has "
            f"{memory_bytes() / 1e9:,.1f} GB of memory."
        )


def read_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each weight, from the headers of a folder's files.

    Raises:
        CheckpointError: a header is larger than MAX_HEADER_BYTES, or damaged.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weights_of(folder):
        real = find_file(folder, path.name)
        assert real is not None
        with real.open("rb") as file:
            start = file.read(8)
        size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if size > MAX_HEADER_BYTES:
            raise CheckpointError(
                f"{path.name} of {folder.name} has a header of {size:,} bytes; at most "
                f"{MAX_HEADER_BYTES:,} are read."
            )
        try:
            with safe_open(real, framework="numpy") as weights:
                for key in weights.keys():  # noqa: SIM118
                    shapes[key] = tuple(weights.get_slice(key).get_shape())
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path.name} of {folder.name} is damaged: {error}.") from error
    return shapes


def require_tokenizer(folder: Path, name: str, vocabulary: int) -> None:
    """Checks a folder's tokenizer, if it has one in a single file; `vocabulary` is how many tokens
    its model knows.

    Raises:
        CheckpointError: it has parts, a regular expression or ids that are not taken.
    """
    value = read_json(folder, TOKENIZER)
    if value is None:
        read_json(folder, "vocab.json")
        return
    model = value.get("model") if isinstance(value, dict) else None
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        raise CheckpointError(f"The tokenizer of {name} is not one of byte pairs (BPE).")
    if model.get("dropout"):
        raise CheckpointError(f"The tokenizer of {name} splits words by chance (dropout).")
    added = value.get("added_tokens") or []
    vocab = model.get("vocab")
    if not isinstance(vocab, dict) or not isinstance(added, list):
        raise CheckpointError(f"The tokenizer of {name} has no vocabulary.")
    ids = list(vocab.values())
    for token in added:
        if not isinstance(token, dict) or not isinstance(token.get("content"), str):
            raise CheckpointError(f"The tokenizer of {name} adds a token that is no text.")
        if not token["content"]:
            raise CheckpointError(f"The tokenizer of {name} adds a token that is empty.")
        ids.append(token.get("id"))
    if (
        len(ids) > vocabulary
        and len(tokens := {*vocab, *(t["content"] for t in added)}) > vocabulary
    ):
        raise CheckpointError(
            f"The tokenizer of {name} has {len(tokens):,} tokens; its model knows {vocabulary:,}."
        )
    for one in ids:
        if type(one) is not int or not 0 <= one < vocabulary:
            raise CheckpointError(
                f"The tokenizer of {name} has the token id {str(one)[:20]}; "
                f"its model knows {vocabulary:,}."
            )
    roles = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
    parts = [part for role in roles for part in _parts(value.get(role), name)]
    if len(parts) > MAX_TOKENIZER_PARTS:
        raise CheckpointError(
            f"The tokenizer of {name} has {len(parts)} parts; at most {MAX_TOKENIZER_PARTS} are "
            "taken."
        )
    for part in parts:
        _require_part(part, name)


@contextmanager
def library_view(folder: Path) -> Iterator[Path]:
    """A folder with links to what defines a checkpoint's model, and nothing else: a library takes
    whatever it finds by its name, be it an adapter, a template or code.

    Raises:
        CheckpointError: one of the files cannot be read.
    """
    names = {*DEFINING, *(path.name for path in weights_of(folder)), WEIGHTS[1]}
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            path = find_file(folder, name)
            if path is not None:
                os.symlink(path, Path(scratch) / name)
        yield Path(scratch)


def _require_plain(values: Mapping[str, Any], settings: str, name: str) -> None:
    for key in REFUSED_KEYS[settings]:
        if values.get(key) is None:
            continue
        if key == "auto_map":
            raise CheckpointError(
                f"{name} brings code of its own (auto_map in {settings}), which is never run: "
                "take a checkpoint of an architecture that transformers has."
            )
        raise CheckpointError(f"{settings} of {name} has {key}, which is not taken here.")


def _require_shards(folder: Path) -> None:
    """Every shard that the index names must be there, and no name may lead out of the folder."""
    if find_file(folder, WEIGHTS[1]) is None:
        return
    shards = read_object(folder, WEIGHTS[1]).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(one, str) for one in shards.values()):
        raise CheckpointError(f"{WEIGHTS[1]} of {folder.name} has no weight_map of file names.")
    for shard in set(shards.values()):
        require_file(folder, shard)


def _require_sizes(
    config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], name: str
) -> None:
    architecture = config.get("model_type")
    if architecture not in ARCHITECTURES:
        raise CheckpointError(
            f"{name} is of the architecture {str(architecture)[:40]!r}; taken are "
            f"{', '.join(ARCHITECTURES)}."
        )
    largest = max((size for shape in shapes.values() for size in shape), default=0)
    _require_number(config, "vocab_size", largest, name, is_needed=True)
    for key in DIMENSIONS:
        _require_number(config, key, largest, name)
    for key in LAYERS:
        _require_number(config, key, len(shapes), name)
    for key in CONTEXT:
        _require_number(config, key, MAX_CONTEXT, name)


def _require_number(
    config: Mapping[str, Any], key: str, most: int, name: str, is_needed: bool = False
) -> None:
    value = config.get(key)
    if value is None and not is_needed:
        return
    if type(value) is not int or not 1 <= value <= most:
        raise CheckpointError(
            f"config.json of {name} has {key} {str(value)[:40]}; with these weights it must be "
            f"from 1 to {most:,}."
        )


def _require_class(tokenizer_config: Mapping[str, Any], name: str) -> None:
    kind = tokenizer_config.get("tokenizer_class")
    if kind is not None and str(kind).removesuffix("Fast") not in TOKENIZER_CLASSES:
        raise CheckpointError(
            f"The tokenizer of {name} is a {str(kind)[:40]}; taken are "
            f"{', '.join(TOKENIZER_CLASSES)}."
        )


def _parts(part: Any, name: str) -> Iterator[Mapping[str, Any]]:
    """A part of a tokenizer and what it is a sequence of."""
    if part is None:
        return
    if not isinstance(part, dict):
        raise CheckpointError(f"The tokenizer of {name} has a part that is not an object.")
    yield part
    for inner in ("normalizers", "pretokenizers", "processors", "decoders"):
        steps = part.get(inner) or ()
        if not isinstance(steps, list | tuple):
            raise CheckpointError(f"The tokenizer of {name} has {inner} that are not a list.")
        for step in steps:
            yield from _parts(step, name)


def _require_part(part: Mapping[str, Any], name: str) -> None:
    kind = part.get("type")
    if kind not in TOKENIZER_PARTS:
        raise CheckpointError(
            f"The tokenizer of {name} has a part {str(kind)[:40]!r}, which is not taken."
        )
    pattern = part.get("pattern")
    if isinstance(pattern, dict) and "Regex" in pattern and pattern["Regex"] not in KNOWN_PATTERNS:
        raise CheckpointError(
            f"The tokenizer of {name} has a regular expression that is not known here, which could "
            "take hours over one prompt."
        )
    if kind == "Replace":
        old = pattern.get("String") if isinstance(pattern, dict) else None
        new = part.get("content")
        if not isinstance(old, str) or not isinstance(new, str) or not 0 < len(old) >= len(new):
            raise CheckpointError(f"The tokenizer of {name} replaces what makes a text longer.")
    if len(str(part.get("prepend", ""))) > 1:
        raise CheckpointError(f"The tokenizer of {name} prepends more than one character.")

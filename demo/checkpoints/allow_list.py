"""What an ordinary checkpoint may say: which architectures, sizes and tokenizers are taken.

Decided from its small files and the headers of its weights, before a library reads any of them.
Nothing here imports torch or transformers.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from demo.checkpoints.files import (
    CONFIG,
    DEFINING,
    TOKENIZER,
    TOKENIZER_CONFIG,
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


def require_allowed(folder: Path, name: str) -> None:
    """Raises CheckpointError if a folder must not be loaded: it has no weights in safetensors,
    brings code, asks for more memory than its weights take, or for what is not listed above."""
    config, tokenizer_config = (read_object(folder, one) for one in REFUSED_KEYS)
    for settings, values in ((CONFIG, config), (TOKENIZER_CONFIG, tokenizer_config)):
        for key in REFUSED_KEYS[settings]:
            if values.get(key) is not None:
                raise CheckpointError(
                    f"{name} has {key} in {settings}, which is not taken: nothing that a "
                    "checkpoint names is fetched or run."
                )
    if not weights_of(folder):
        raise CheckpointError(
            f"{name} has no weights in safetensors, and pickled ones are never loaded: "
            "convert them with `save_pretrained`."
        )
    _require_shards(folder)
    _require_sizes(config, read_shapes(folder), name)
    require_tokenizer(folder, name, config["vocab_size"])
    kind = tokenizer_config.get("tokenizer_class")
    if kind is not None and str(kind).removesuffix("Fast") not in TOKENIZER_CLASSES:
        raise CheckpointError(
            f"The tokenizer of {name} is a {str(kind)[:40]}; taken are "
            f"{', '.join(TOKENIZER_CLASSES)}."
        )


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
    """The shape of each weight, from the headers of a folder's files. Raises CheckpointError."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weights_of(folder):
        require_file(folder, path.name)
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
        if size > MAX_HEADER_BYTES:
            raise CheckpointError(
                f"{path.name} of {folder.name} has a header of {size:,} bytes; at most "
                f"{MAX_HEADER_BYTES:,} are read."
            )
        try:
            with safe_open(path, framework="numpy") as weights:
                for key in weights.keys():  # noqa: SIM118
                    shapes[key] = tuple(weights.get_slice(key).get_shape())
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path.name} of {folder.name} is damaged: {error}.") from error
    return shapes


def require_tokenizer(folder: Path, name: str, vocabulary: int) -> None:
    """Checks a folder's tokenizer, if it has one in a single file; `vocabulary` is how many tokens
    its model knows. Raises CheckpointError for parts, a regular expression or ids that are not
    taken."""
    tokenizer = read_json(folder, TOKENIZER)
    if tokenizer is None:
        read_json(folder, "vocab.json")
        return
    try:
        _require_ids(tokenizer, vocabulary)
        roles = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
        parts = [part for role in roles for part in _parts(tokenizer.get(role))]
        if len(parts) > MAX_TOKENIZER_PARTS:
            raise ValueError(f"has {len(parts)} parts; at most {MAX_TOKENIZER_PARTS} are taken")
        for part in parts:
            _require_part(part)
    except ValueError as error:
        raise CheckpointError(f"The tokenizer of {name} {error}.") from error
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"The tokenizer of {name} is not built like one.") from error


@contextmanager
def library_view(folder: Path) -> Iterator[Path]:
    """A folder with links to what defines a checkpoint's model, and nothing else: a library takes
    whatever it finds by its name, be it an adapter, a template or code."""
    names = {*DEFINING, *(path.name for path in weights_of(folder)), WEIGHTS[1]}
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            path = find_file(folder, name)
            if path is not None:
                os.symlink(path, Path(scratch) / name)
        yield Path(scratch)


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
    limits = {
        **dict.fromkeys(DIMENSIONS, largest),
        **dict.fromkeys(LAYERS, len(shapes)),
        **dict.fromkeys(CONTEXT, MAX_CONTEXT),
    }
    for key, most in limits.items():
        value = config.get(key)
        if value is None and key != "vocab_size":
            continue
        if type(value) is not int or not 1 <= value <= most:
            raise CheckpointError(
                f"config.json of {name} has {key} {str(value)[:40]}; with these weights it must be "
                f"from 1 to {most:,}."
            )


def _require_ids(tokenizer: Any, vocabulary: int) -> None:
    """Raises ValueError with the end of a sentence, as `_require_part` does."""
    model = tokenizer.get("model") if isinstance(tokenizer, dict) else None
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        raise ValueError("is not one of byte pairs (BPE)")
    if model.get("dropout"):
        raise ValueError("splits words by chance (dropout)")
    vocab = dict(model["vocab"])
    added = tokenizer.get("added_tokens") or ()
    contents = [token.get("content") for token in added]
    if not all(isinstance(content, str) and content for content in contents):
        raise ValueError("adds a token that is empty or no text")
    if (count := len({*vocab, *contents})) > vocabulary:
        raise ValueError(f"has {count:,} tokens; its model knows {vocabulary:,}")
    for one in (*vocab.values(), *(token.get("id") for token in added)):
        if type(one) is not int or not 0 <= one < vocabulary:
            raise ValueError(f"has the token id {str(one)[:20]}; its model knows {vocabulary:,}")


def _parts(part: Any) -> Iterator[Mapping[str, Any]]:
    """A part of a tokenizer and what it is a sequence of."""
    if part is None:
        return
    yield part
    for inner in ("normalizers", "pretokenizers", "processors", "decoders"):
        for step in part.get(inner) or ():
            yield from _parts(step)


def _require_part(part: Mapping[str, Any]) -> None:
    kind = part.get("type")
    if kind not in TOKENIZER_PARTS:
        raise ValueError(f"has a part {str(kind)[:40]!r}, which is not taken")
    pattern = part.get("pattern")
    pattern = pattern if isinstance(pattern, dict) else {}
    if "Regex" in pattern and pattern["Regex"] not in KNOWN_PATTERNS:
        raise ValueError("has a regular expression that is not known here: it could take hours")
    if kind == "Replace":
        old, new = pattern.get("String"), part.get("content")
        if not isinstance(old, str) or not isinstance(new, str) or not 0 < len(old) >= len(new):
            raise ValueError("replaces what makes a text longer")
    if len(str(part.get("prepend", ""))) > 1:
        raise ValueError("prepends more than one character")

"""Exports a GPT-2- or Llama-shaped checkpoint as a stateful OpenVINO model with int8 weights.

Nothing is traced and no converter is needed: the graph is written out in `graph`. Run as a process
of its own, `python -m demo.generation.openvino.export FOLDER OUT SOURCE`.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from demo.checkpoints.allow_list import library_view
from demo.checkpoints.files import CONFIG, TOKENIZER, CheckpointError, read_object, write_checksums
from demo.generation.openvino.exported import CONFIGS, MODEL, Exported
from demo.generation.openvino.graph import GPT2, Decoder, Llama, Precision, Sizes, Weights
from demo.generation.openvino.runtime import ov
from demo.subprocesses import end_with_parent

# Longer contexts are cut to this: a tweet needs a few hundred tokens, and Llama's rotary tables
# grow with the context.
MAX_CONTEXT_TOKENS = 8_192


def export(folder: Path, out: Path, *, source: str = "", precision: Precision = "int8") -> Exported:
    """Writes the model, its tokenizer and a description of both into `out`. int8 weights have one
    scale per output row (symmetric); `f32` is for comparing. `source` is the fingerprint of the
    checkpoint, which tells later whose export it is. Raises CheckpointError if the architecture is
    not supported, a weight is not what it takes, or the tokenizer does not fit."""
    config = read_object(folder, CONFIG)
    decoder, sizes = _decoder(config)
    with library_view(folder) as view:
        tokenizer = AutoTokenizer.from_pretrained(
            view, trust_remote_code=False, local_files_only=True
        )
    end = tokenizer.eos_token_id
    if end is None or len(tokenizer) > sizes.vocabulary:
        raise CheckpointError(
            f"The tokenizer has {len(tokenizer):,} tokens and its eos_token_id is {end}; "
            f"the model knows {sizes.vocabulary:,} tokens."
        )
    exported = Exported(
        source=source,
        precision=precision,
        eos_token_id=int(end),
        vocabulary=sizes.vocabulary,
        context_tokens=sizes.context,
        cache_values_per_token=2 * sizes.layers * sizes.kv_heads * sizes.head_size,
    )
    out.mkdir(parents=True, exist_ok=True)
    model = decoder(sizes, Weights(folder), precision).build(config["model_type"])
    ov.save_model(model, out / MODEL, compress_to_fp16=False)
    tokenizer.backend_tokenizer.save(str(out / TOKENIZER))
    roles = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), int(end))
    for name in CONFIGS:
        # OpenVINO GenAI needs both files; a request sets everything that they could say.
        values = {"model_type": config["model_type"], **roles}
        (out / name).write_text(json.dumps(values), encoding="utf-8")
    exported.write(out)
    write_checksums(out)
    return exported


def _decoder(config: Mapping[str, Any]) -> tuple[type[Decoder], Sizes]:
    kind = config.get("model_type")
    if kind == "gpt2":
        return GPT2, _gpt2(config)
    if kind == "llama":
        return Llama, _llama(config)
    raise CheckpointError(f"It is a {kind} model; OpenVINO runs gpt2 and llama here.")


def _gpt2(config: Mapping[str, Any]) -> Sizes:
    _require(config, "activation_function", "gelu_new", "gelu_pytorch_tanh")
    _require(config, "scale_attn_weights", True)
    _require(config, "scale_attn_by_inverse_layer_idx", False)
    _require(config, "add_cross_attention", False)
    width, heads = config["n_embd"], config["n_head"]
    return Sizes(
        layers=config["n_layer"],
        heads=heads,
        kv_heads=heads,
        head_size=width // heads,
        width=width,
        inner=config.get("n_inner") or 4 * width,
        vocabulary=config["vocab_size"],
        context=config["n_positions"],
        epsilon=config.get("layer_norm_epsilon", 1e-5),
        tied=config.get("tie_word_embeddings", True),
    )


def _llama(config: Mapping[str, Any]) -> Sizes:
    _require(config, "hidden_act", "silu")
    _require(config, "attention_bias", False)
    _require(config, "mlp_bias", False)
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    # Older configs call it `type`.
    _require({"rope_type": rope.get("type", "default"), **rope}, "rope_type", "default")
    width, heads = config["hidden_size"], config["num_attention_heads"]
    return Sizes(
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_size=config.get("head_dim") or width // heads,
        width=width,
        inner=config["intermediate_size"],
        vocabulary=config["vocab_size"],
        context=min(config["max_position_embeddings"], MAX_CONTEXT_TOKENS),
        epsilon=config.get("rms_norm_eps", 1e-6),
        tied=config.get("tie_word_embeddings", False),
        theta=rope.get("rope_theta", config.get("rope_theta", 10_000.0)),
    )


def _require(config: Mapping[str, Any], key: str, *supported: object) -> None:
    """A key that is not in the config means the first of the supported values."""
    value = config.get(key, supported[0])
    if value not in supported:
        raise CheckpointError(f"Its {key} is {value}, which is not supported here.")


if __name__ == "__main__":
    end_with_parent()
    try:
        export(Path(sys.argv[1]), Path(sys.argv[2]), source=sys.argv[3])
    except CheckpointError as error:
        sys.exit(str(error))

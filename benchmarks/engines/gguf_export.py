"""A checkpoint as a GGUF file in q8_0: the exporter of the `llama_cpp` worker.

Knows the GGUF format and llama.cpp's names; must not know how the file is run.
`python -m benchmarks.engines.gguf_export CHECKPOINT FOLDER`.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize

from benchmarks.engines.llama_cpp import MODEL
from benchmarks.engines.weights import Matrix, Weights


def export(checkpoint: Path, folder: Path) -> None:
    """Writes a GGUF file without a vocabulary: matrices in q8_0, norms and biases in fp32."""
    weights = Weights(checkpoint)
    folder.mkdir()
    (folder / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    writer = GGUFWriter(folder / MODEL, weights.shape.architecture, use_temp_file=True)
    _describe(writer, weights)
    for name, tensor in {"gpt2": _gpt2, "llama": _llama}[weights.shape.architecture](weights):
        _add(writer, name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: Any, w: Weights) -> None:
    shape = w.shape
    writer.add_context_length(shape.positions)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_tokenizer_model("none")
    if shape.rope_theta:
        writer.add_layer_norm_rms_eps(shape.epsilon)
        writer.add_rope_dimension_count(shape.head_dim)
        writer.add_rope_freq_base(shape.rope_theta)
    else:
        writer.add_layer_norm_eps(shape.epsilon)


def _add(writer: Any, name: str, tensor: Matrix) -> None:
    if tensor.ndim == 2 and name != "position_embd.weight":
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(name, quantize(tensor, kind), raw_dtype=kind)
    else:
        writer.add_tensor(name, tensor)


def _gpt2(w: Weights) -> Iterator[tuple[str, Matrix]]:
    yield "token_embd.weight", w["wte.weight"]
    yield "position_embd.weight", w["wpe.weight"]
    for part in ("weight", "bias"):
        yield f"output_norm.{part}", w[f"ln_f.{part}"]
    names = {
        "attn_norm": "ln_1",
        "attn_qkv": "attn.c_attn",
        "attn_output": "attn.c_proj",
        "ffn_norm": "ln_2",
        "ffn_up": "mlp.c_fc",
        "ffn_down": "mlp.c_proj",
    }
    for layer in range(w.shape.layers):
        for ours, theirs in names.items():
            # A norm has one dimension, and is its own transpose.
            yield f"blk.{layer}.{ours}.weight", w.transposed(f"h.{layer}.{theirs}.weight")
            yield f"blk.{layer}.{ours}.bias", w[f"h.{layer}.{theirs}.bias"]


def _llama(w: Weights) -> Iterator[tuple[str, Matrix]]:
    yield "token_embd.weight", w["embed_tokens.weight"]
    yield "output_norm.weight", w["norm.weight"]
    names = {
        "attn_norm": "input_layernorm",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    for layer in range(w.shape.layers):
        for ours, theirs in names.items():
            yield f"blk.{layer}.{ours}.weight", w[f"layers.{layer}.{theirs}.weight"]
        for kind, heads in (("q", w.shape.heads), ("k", w.shape.kv_heads)):
            rows = w[f"layers.{layer}.self_attn.{kind}_proj.weight"]
            yield f"blk.{layer}.attn_{kind}.weight", _interleaved(rows, heads)


def _interleaved(rows: Matrix, heads: int) -> Matrix:
    """The rows of each head in the order of llama.cpp, which rotates neighbours, where
    transformers rotates the halves."""
    halves = rows.reshape(heads, 2, -1, rows.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))

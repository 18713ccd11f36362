"""Checkpoints in the formats of the other engines: `python -m benchmarks.exports onnx|gguf
CHECKPOINT FOLDER`."""
# ruff: noqa: PLC0415

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig


def export_onnx(checkpoint: Path, folder: Path) -> None:
    """Writes the checkpoint as an ONNX graph with int8 weights, by transformers' own exporter."""
    # Only where onnxscript is installed.
    from transformers.exporters.configs import OnnxConfig
    from transformers.exporters.exporter_onnx import OnnxExporter
    from transformers.exporters.quantizers import quantizer_onnxruntime as quantizers
    from transformers.exporters.utils import decompose_prefill_decode

    model: Any = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    model.generation_config = GenerationConfig(pad_token_id=0)
    # A head that shares the embedding's matrix would stay fp32.
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    ids = torch.arange(16).view(2, 8)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    # A step of several tokens after a cache: with an empty cache, that is a prompt as well.
    _, step = decompose_prefill_decode(model, inputs, multi_token_decode=True)["decode"]
    quantizer = quantizers.OnnxRuntimeQuantizer(
        quantizers.OnnxRuntimeDynamicConfig(per_channel=True)
    )
    config = OnnxConfig(dynamic=True, ort_fusions="cpu", quantizer=quantizer)
    OnnxExporter().export(model, step, config).save_pretrained(folder)


def export_gguf(checkpoint: Path, folder: Path) -> None:
    """Writes the checkpoint as GGUF: matrices in q8_0, the rest in fp32, without a vocabulary.

    llama.cpp's own `convert_hf_to_gguf.py` is in no package of its authors: the package `gguf`
    brings the names and the formats alone.
    """
    config: Any = AutoConfig.from_pretrained(checkpoint)
    arch = {"gpt2": gguf.MODEL_ARCH.GPT2, "llama": gguf.MODEL_ARCH.LLAMA}[config.model_type]
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    folder.mkdir()
    writer = gguf.GGUFWriter(folder / "model.gguf", config.model_type, use_temp_file=True)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")
    if config.model_type == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    for key, tensor in _gguf_tensors(checkpoint, config):
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if tensor.ndim == 2 and name != "position_embd.weight":
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_tensors(checkpoint: Path, config: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The checkpoint's tensors in llama.cpp's layout: matrices are [out, in], and the rows of a
    rotated head alternate between the halves that transformers keeps apart."""
    rotated = {
        "q_proj.weight": config.num_attention_heads,
        "k_proj.weight": getattr(config, "num_key_value_heads", 0),
    }
    for key, tensor in load_file(checkpoint / "model.safetensors").items():
        if config.model_type == "gpt2" and ".h." in key and tensor.ndim == 2:
            tensor = np.ascontiguousarray(tensor.T)
        heads = rotated.get(".".join(key.split(".")[-2:]))
        if heads:
            halves = tensor.reshape(heads, 2, -1, tensor.shape[1]).swapaxes(1, 2)
            tensor = np.ascontiguousarray(halves).reshape(tensor.shape)
        yield key, tensor


if __name__ == "__main__":
    {"onnx": export_onnx, "gguf": export_gguf}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))

"""A GPT-2- or Llama-shaped checkpoint as a stateful OpenVINO model with int8 weights.

Knows weights, two architectures and OpenVINO's operations; must not know requests or how
text is drawn. Nothing is traced and no converter is needed: the graph is written out.
Run as a process of its own, `python -m demo.generation.openvino.export FOLDER OUT SOURCE`, so
that the memory it takes is given back.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from demo.checkpoints.files import write_checksums
from demo.generation.openvino.export_format import Exported
from demo.generation.openvino.runtime import Variable, VariableInfo, ops, ov

Precision = Literal["int8", "f32"]
Floats = NDArray[np.float32]
# Longer contexts are cut to this: a tweet needs a few hundred tokens, and Llama's rotation
# tables grow with the context.
MAX_CONTEXT_TOKENS = 8_192
# Buffers that older checkpoints store beside the weights; they follow from the config.
_BUFFERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")
_MASKED = -3.4e38


class CannotExport(ValueError):
    """The checkpoint is of another shape, or damaged; the message is one sentence."""


def export(folder: Path, out: Path, *, source: str = "", precision: Precision = "int8") -> Exported:
    """Writes the model, its tokenizer and a description of both into `out`.

    int8 weights have one scale per output row (symmetric); `f32` is for comparing. `source`
    is the fingerprint of the checkpoint, by which the export is known again.

    Raises:
        CannotExport: the architecture is not supported, a weight is missing, superfluous,
            misshapen or not finite, or the tokenizer does not fit.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    read_shape = _ARCHITECTURES.get(str(config.get("model_type")))
    if read_shape is None:
        raise CannotExport(
            f"{folder.name} is a {config.get('model_type')} model; "
            f"OpenVINO runs {' and '.join(_ARCHITECTURES)} here."
        )
    architecture = read_shape(config)
    tokenizer = AutoTokenizer.from_pretrained(
        folder, trust_remote_code=False, local_files_only=True
    )
    exported = _described(architecture, tokenizer, precision, source)
    out.mkdir(parents=True, exist_ok=True)
    weights = _open_weights(folder)
    model = architecture.build(_Graph(weights, precision))
    weights.require_all_used()
    ov.save_model(model, out / "openvino_model.xml", compress_to_fp16=False)
    tokenizer.backend_tokenizer.save(str(out / "tokenizer.json"))
    for name in ("config.json", "generation_config.json"):
        # OpenVINO GenAI asks for both, and takes from them nothing that a request does not say.
        (out / name).write_text(json.dumps(_marks(config, exported)), encoding="utf-8")
    exported.write(out)
    write_checksums(out)
    return exported


def _marks(config: Mapping[str, Any], exported: Exported) -> dict[str, Any]:
    roles = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {"model_type": config["model_type"], **dict.fromkeys(roles, exported.mark)}


def _described(
    shape: "_Architecture", tokenizer: PreTrainedTokenizerBase, precision: Precision, source: str
) -> Exported:
    if tokenizer.eos_token_id is None or len(tokenizer) > shape.vocabulary:
        raise CannotExport(
            f"The tokenizer has {len(tokenizer):,} tokens and its closing mark is "
            f"{tokenizer.eos_token_id}; the model knows {shape.vocabulary:,} tokens."
        )
    return Exported(
        source=source,
        precision=precision,
        mark=int(tokenizer.eos_token_id),
        vocabulary=shape.vocabulary,
        context_tokens=shape.context,
        cache_values_per_token=2 * shape.layers * shape.kv_heads * shape.head_size,
    )


class _Weights:
    """Tensors of a checkpoint by name, one at a time, as float32; keeps count of which."""

    def __init__(self, files: Sequence[Any]) -> None:
        # GPT-2's own checkpoints lack the prefix that transformers writes.
        self._places = {
            name.removeprefix("transformer."): (file, name)
            for file in files
            for name in file.keys()  # noqa: SIM118
        }
        self._used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def read(self, name: str, shape: tuple[int, ...]) -> Floats:
        """A contiguous array of exactly that shape.

        Raises:
            CannotExport: it is missing, misshapen or not finite.
        """
        if name not in self._places:
            raise CannotExport(f"The weight {name} is missing.")
        file, stored = self._places[name]
        # By way of torch: numpy has no bfloat16.
        value: Floats = np.ascontiguousarray(file.get_tensor(stored).float().numpy())
        if value.shape != shape:
            raise CannotExport(f"The weight {name} is {value.shape}; its config says {shape}.")
        if not np.isfinite(value).all():
            raise CannotExport(
                f"The weight {name} is damaged: it holds values that are not finite."
            )
        self._used.add(name)
        return value

    def require_all_used(self) -> None:
        """Raises CannotExport for weights that the architecture has no place for."""
        tied = {"lm_head.weight"}
        left = set(self._places) - self._used - tied
        unknown = sorted(name for name in left if not name.endswith(_BUFFERS))
        if unknown:
            raise CannotExport(f"The weight {unknown[0]} has no place in its architecture.")


def _open_weights(folder: Path) -> _Weights:
    # Tensors are read where they lie in the file: a large checkpoint never is in memory whole.
    paths = sorted(folder.glob("model*.safetensors"))
    if not paths:
        raise CannotExport(f"{folder.name} has no weights in safetensors.")
    return _Weights([safe_open(path, framework="pt") for path in paths])


class _Graph:
    """The parts that decoders share: inputs, weights, norms, cached causal attention.

    Node shapes, in comments: B sequences, T new tokens, N tokens with the cached ones,
    H heads of D values, E = H·D.
    """

    def __init__(self, weights: _Weights, precision: Precision) -> None:
        self.weights = weights
        self._precision = precision
        self._sinks: list[Any] = []
        self.ids = _parameter("input_ids", [-1, -1])
        self._attention_mask = _parameter("attention_mask", [-1, -1])
        self.positions = _parameter("position_ids", [-1, -1])
        self._beams = _parameter("beam_idx", [-1], ov.Type.i32)
        self._mask = self._causal_mask()

    def matrix(self, name: str, rows: int, columns: int, transposed: bool = False) -> Any:
        """A weight of `rows` outputs by `columns` inputs, in the graph's precision.

        `transposed` says that the checkpoint stores inputs by outputs, as GPT-2's do.
        """
        stored = (columns, rows) if transposed else (rows, columns)
        value = self.weights.read(name, stored)
        value = np.ascontiguousarray(value.T) if transposed else value
        if self._precision == "f32":
            return ops.constant(value)
        scales = np.maximum(np.abs(value).max(axis=1, keepdims=True) / 127, 1e-12)
        whole = np.clip(np.rint(value / scales), -127, 127).astype(np.int8)
        rows_of_floats = ops.convert(ops.constant(whole), "f32")
        return ops.multiply(rows_of_floats, ops.constant(scales.astype(np.float32)))

    def vector(self, name: str, size: int) -> Any:
        """A bias or a gain, shaped to be broadcast over B and T."""
        return ops.constant(self.weights.read(name, (size,))[None, None])

    def linear(self, x: Any, weight: Any, bias: Any = None) -> Any:
        """x · weightᵀ + bias."""
        y = ops.matmul(x, weight, False, True)
        return y if bias is None else ops.add(y, bias)

    def rows(self, table: Any, indices: Any) -> Any:
        """The table's rows at the indices (B, T)."""
        return ops.gather(table, ops.convert(indices, "i32"), _whole(0))

    def attend(self, layer: int, q: Any, k: Any, v: Any, kv_heads: int, heads: int) -> Any:
        """Causal attention of q (B, H, T, D) over the cached k and v (B, kv_heads, T, D), as
        (B, T, E)."""
        name = f"past_key_values.{layer}."
        k = self._repeated(self._cached(f"{name}keypresent.{layer}.key", k), kv_heads, heads)
        v = self._repeated(self._cached(f"{name}valuepresent.{layer}.value", v), kv_heads, heads)
        mixed = ops.scaled_dot_product_attention(q, k, v, self._mask)
        # A 0 keeps the dimension; -1 takes the rest.
        return ops.reshape(ops.transpose(mixed, _whole([0, 2, 1, 3])), _whole([0, 0, -1]), True)

    def heads_of(self, x: Any, heads: int) -> Any:
        """(B, T, E) → (B, H, T, D)."""
        split = ops.reshape(x, _whole([0, 0, heads, -1]), True)
        return ops.transpose(split, _whole([0, 2, 1, 3]))

    def finish(self, x: Any, head: Any, name: str) -> ov.Model:
        """The model whose output is the logits (B, T, vocabulary)."""
        result = ops.result(self.linear(x, head))
        result.output(0).get_tensor().set_names({"logits"})
        inputs = [self.ids, self._attention_mask, self.positions, self._beams]
        return ov.Model([result], self._sinks, inputs, name)

    def _cached(self, name: str, new: Any) -> Any:
        """What was seen, then `new`, kept for the next call."""
        shape = new.output(0).get_partial_shape()
        heads, size = shape[1].get_length(), shape[3].get_length()
        info = VariableInfo()
        info.data_shape = ov.PartialShape([-1, heads, -1, size])
        info.data_type, info.variable_id = ov.Type.f32, name
        variable = Variable(info)
        sequences = ops.gather(ops.shape_of(self.ids), _whole([0]), _whole(0))
        nothing_shape = ops.concat([sequences, _whole([heads, 0, size])], 0)
        nothing = ops.broadcast(ops.constant(np.float32(0)), nothing_shape)
        past = ops.gather(ops.read_value(nothing, variable), self._beams, _whole(0))
        whole = ops.concat([past, new], 2)
        self._sinks.append(ops.assign(whole, variable))
        return whole

    def _repeated(self, x: Any, kv_heads: int, heads: int) -> Any:
        """Each of the key-value heads, as often as query heads share it."""
        if kv_heads == heads:
            return x
        size = x.output(0).get_partial_shape()[3].get_length()
        shape = ops.shape_of(x)
        sequences, tokens = (ops.gather(shape, _whole([axis]), _whole(0)) for axis in (0, 2))
        wide = ops.concat(
            [sequences, _whole([kv_heads, heads // kv_heads]), tokens, _whole([size])], 0
        )
        copies = ops.broadcast(ops.unsqueeze(x, _whole(2)), wide, broadcast_spec="BIDIRECTIONAL")
        return ops.reshape(copies, _whole([0, heads, -1, size]), True)

    def _causal_mask(self) -> Any:
        """(B, 1, T, N): 0 where a token may look, hugely negative where it may not."""
        new = ops.squeeze(ops.gather(ops.shape_of(self.ids), _whole([1]), _whole(0)), _whole([0]))
        seen_shape = ops.shape_of(self._attention_mask)
        seen = ops.squeeze(ops.gather(seen_shape, _whole([1]), _whole(0)), _whole([0]))
        keys = ops.range(_whole(0), seen, _whole(1), "i64")
        queries = ops.add(ops.range(_whole(0), new, _whole(1), "i64"), ops.subtract(seen, new))
        causal = ops.less_equal(ops.unsqueeze(keys, _whole(0)), ops.unsqueeze(queries, _whole(1)))
        real = ops.unsqueeze(ops.convert(self._attention_mask, "boolean"), _whole([1, 2]))
        kept = ops.logical_and(ops.unsqueeze(causal, _whole([0, 1])), real)
        return ops.select(kept, ops.constant(np.float32(0)), ops.constant(np.float32(_MASKED)))


@dataclass(frozen=True)
class _Architecture:
    """What every supported decoder has; sizes as the config says them."""

    layers: int
    heads: int
    kv_heads: int
    head_size: int
    width: int
    inner: int
    vocabulary: int
    context: int
    epsilon: float
    tied: bool

    def build(self, graph: _Graph) -> ov.Model:
        """Writes the graph, weights included."""
        raise NotImplementedError


class _GPT2(_Architecture):
    """GPT-2 (Radford et al. 2019) of any size."""

    def build(self, graph: _Graph) -> ov.Model:
        words = graph.matrix("wte.weight", self.vocabulary, self.width)
        places = graph.matrix("wpe.weight", self.context, self.width)
        x = ops.add(graph.rows(words, graph.ids), graph.rows(places, graph.positions))
        for layer in range(self.layers):
            x = self._block(graph, layer, x)
            _progress(layer + 1, self.layers)
        head = words if self.tied else graph.matrix("lm_head.weight", self.vocabulary, self.width)
        return graph.finish(self._norm(graph, x, "ln_f"), head, "gpt2")

    def _block(self, graph: _Graph, layer: int, x: Any) -> Any:
        block = f"h.{layer}."
        mixed = self._linear(graph, self._norm(graph, x, f"{block}ln_1"), f"{block}attn.c_attn",
                             3 * self.width, self.width)  # fmt: skip
        q, k, v = (
            graph.heads_of(part, self.heads) for part in ops.split(mixed, _whole(2), 3).outputs()
        )
        attended = graph.attend(layer, q, k, v, self.heads, self.heads)
        x = ops.add(x, self._linear(graph, attended, f"{block}attn.c_proj", self.width, self.width))
        hidden = self._linear(graph, self._norm(graph, x, f"{block}ln_2"), f"{block}mlp.c_fc",
                              self.inner, self.width)  # fmt: skip
        active = ops.gelu(hidden, "tanh")
        return ops.add(x, self._linear(graph, active, f"{block}mlp.c_proj", self.width, self.inner))

    def _linear(self, graph: _Graph, x: Any, name: str, outputs: int, inputs: int) -> Any:
        weight = graph.matrix(f"{name}.weight", outputs, inputs, transposed=True)
        return graph.linear(x, weight, graph.vector(f"{name}.bias", outputs))

    def _norm(self, graph: _Graph, x: Any, name: str) -> Any:
        centred = ops.mvn(x, _whole([-1]), True, self.epsilon, "inside_sqrt")
        scaled = ops.multiply(centred, graph.vector(f"{name}.weight", self.width))
        return ops.add(scaled, graph.vector(f"{name}.bias", self.width))


@dataclass(frozen=True)
class _Llama(_Architecture):
    """Llama (Touvron et al. 2023): rotated positions, RMS norms, gated MLP, shared key heads."""

    theta: float

    def build(self, graph: _Graph) -> ov.Model:
        words = graph.matrix("model.embed_tokens.weight", self.vocabulary, self.width)
        x = graph.rows(words, graph.ids)
        turns = self._turns(graph)
        for layer in range(self.layers):
            x = self._block(graph, layer, x, turns)
            _progress(layer + 1, self.layers)
        head = words if self.tied else graph.matrix("lm_head.weight", self.vocabulary, self.width)
        return graph.finish(self._norm(graph, x, "model.norm"), head, "llama")

    def _block(self, graph: _Graph, layer: int, x: Any, turns: tuple[Any, Any]) -> Any:
        block = f"model.layers.{layer}."
        seen = self._norm(graph, x, f"{block}input_layernorm")
        inner = self.heads * self.head_size
        q, k, v = (
            graph.heads_of(
                graph.linear(
                    seen,
                    graph.matrix(f"{block}self_attn.{part}_proj.weight",
                                 heads * self.head_size, self.width),
                ),
                heads,
            )
            for part, heads in (("q", self.heads), ("k", self.kv_heads), ("v", self.kv_heads))
        )  # fmt: skip
        q, k = (self._turned(part, turns) for part in (q, k))
        attended = graph.attend(layer, q, k, v, self.kv_heads, self.heads)
        output = graph.matrix(f"{block}self_attn.o_proj.weight", self.width, inner)
        x = ops.add(x, graph.linear(attended, output))
        return ops.add(x, self._gated(graph, block, x))

    def _gated(self, graph: _Graph, block: str, x: Any) -> Any:
        seen = self._norm(graph, x, f"{block}post_attention_layernorm")
        gate, up = (
            graph.linear(
                seen, graph.matrix(f"{block}mlp.{part}_proj.weight", self.inner, self.width)
            )
            for part in ("gate", "up")
        )
        active = ops.multiply(ops.swish(gate), up)
        down = graph.matrix(f"{block}mlp.down_proj.weight", self.width, self.inner)
        return graph.linear(active, down)

    def _norm(self, graph: _Graph, x: Any, name: str) -> Any:
        square = ops.reduce_mean(ops.power(x, ops.constant(np.float32(2))), _whole([-1]), True)
        root = ops.sqrt(ops.add(square, ops.constant(np.float32(self.epsilon))))
        scaled = ops.multiply(x, ops.divide(ops.constant(np.float32(1)), root))
        return ops.multiply(scaled, graph.vector(f"{name}.weight", self.width))

    def _turns(self, graph: _Graph) -> tuple[Any, Any]:
        """Cosines and sines at the positions, (B, 1, T, D). From tables: computed in the graph,
        the angles of far positions would be rounded away where it runs in bfloat16."""
        steps = np.arange(0, self.head_size, 2, dtype=np.float32) / np.float32(self.head_size)
        frequencies = (1.0 / (np.float32(self.theta) ** steps)).astype(np.float32)
        angles = np.outer(np.arange(self.context, dtype=np.float32), frequencies)
        both = np.concatenate([angles, angles], axis=1)
        cosines, sines = (
            ops.unsqueeze(graph.rows(ops.constant(table), graph.positions), _whole(1))
            for table in (np.cos(both), np.sin(both))
        )
        return cosines, sines

    def _turned(self, x: Any, turns: tuple[Any, Any]) -> Any:
        """x (B, H, T, D) rotated by its position (Su et al. 2021), halves paired."""
        cosines, sines = turns
        first, second = ops.split(x, _whole(3), 2).outputs()
        swapped = ops.concat([ops.negative(second), first], 3)
        return ops.add(ops.multiply(x, cosines), ops.multiply(swapped, sines))


def _gpt2(config: Mapping[str, Any]) -> _Architecture:
    _require(config, "activation_function", "gelu_new", "gelu_pytorch_tanh")
    _require(config, "scale_attn_weights", True)
    _require(config, "scale_attn_by_inverse_layer_idx", False)
    _require(config, "add_cross_attention", False)
    width, heads = config["n_embd"], config["n_head"]
    return _GPT2(
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


def _llama(config: Mapping[str, Any]) -> _Architecture:
    _require(config, "hidden_act", "silu")
    _require(config, "attention_bias", False)
    _require(config, "mlp_bias", False)
    rotation = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rotation.get("rope_type", rotation.get("type", "default"))
    if kind != "default":
        raise CannotExport(f"Its rope_type is {kind}, which is not supported here.")
    theta = rotation.get("rope_theta", config.get("rope_theta", 10_000.0))
    width, heads = config["hidden_size"], config["num_attention_heads"]
    return _Llama(
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
        theta=theta,
    )


_ARCHITECTURES = {"gpt2": _gpt2, "llama": _llama}


def _require(config: Mapping[str, Any], key: str, *supported: object) -> None:
    """A key that is not in the config means the first of the supported values."""
    value = config.get(key, supported[0])
    if value not in supported:
        raise CannotExport(f"Its {key} is {value}, which is not supported here.")


def _parameter(name: str, shape: list[int], kind: ov.Type = ov.Type.i64) -> Any:
    parameter = ops.parameter(shape, kind, name=name)
    parameter.output(0).get_tensor().set_names({name})
    return parameter


def _whole(value: int | list[int]) -> Any:
    return ops.constant(np.array(value, dtype=np.int64))


def _progress(layer: int, layers: int) -> None:
    """One line a quarter."""
    quarter = math.ceil(layers / 4)
    if layer % quarter == 0 or layer == layers:
        print(f"Exporting for OpenVINO: {layer} of {layers} layers.", flush=True)


if __name__ == "__main__":
    try:
        export(Path(sys.argv[1]), Path(sys.argv[2]), source=sys.argv[3])
    except CannotExport as error:
        sys.exit(str(error))

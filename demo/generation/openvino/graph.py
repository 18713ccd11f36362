"""GPT-2 and Llama written out in OpenVINO's operations, with a checkpoint's weights.

Shapes in docstrings: B sequences, T new tokens, N tokens with the cached ones, H heads of D values,
E = H·D.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from demo.checkpoints.files import weights_of
from demo.generation.openvino.runtime import Variable, VariableInfo, ops, ov

Precision = Literal["int8", "f32"]
Floats = NDArray[np.float32]
# Buffers that older checkpoints store beside the weights; they follow from the config.
_BUFFERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")
_MASKED = -3.4e38


class CannotExport(ValueError):
    """The checkpoint is of another shape, or damaged; the message is one sentence."""


class Weights:
    """Tensors of a checkpoint by name, read one at a time as float32."""

    def __init__(self, stored: dict[str, tuple[Any, str]]) -> None:
        self._stored = stored
        self._used: set[str] = set()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens a checkpoint's files; a large one is never in memory whole.

        Raises:
            CannotExport: there are no weights in safetensors.
        """
        files: list[Any] = [safe_open(path, framework="pt") for path in weights_of(folder)]
        if not files:
            raise CannotExport(f"{folder.name} has no weights in safetensors.")
        # GPT-2's own checkpoints lack the prefix that transformers writes.
        return cls({
            name.removeprefix("transformer."): (file, name)
            for file in files
            for name in file.keys()  # noqa: SIM118
        })  # fmt: skip

    def read(self, name: str, shape: tuple[int, ...]) -> Floats:
        """A contiguous array of exactly that shape.

        Raises:
            CannotExport: it is missing, misshapen or not finite.
        """
        if name not in self._stored:
            raise CannotExport(f"The weight {name} is missing.")
        file, stored_name = self._stored[name]
        # By way of torch: numpy has no bfloat16.
        value: Floats = np.ascontiguousarray(file.get_tensor(stored_name).float().numpy())
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
        unused = self._stored.keys() - self._used - {"lm_head.weight"}
        unknown = sorted(name for name in unused if not name.endswith(_BUFFERS))
        if unknown:
            raise CannotExport(f"The weight {unknown[0]} has no place in its architecture.")


class Graph:
    """The parts that decoders share: inputs, weights, cached causal attention, logits."""

    def __init__(self, weights: Weights, precision: Precision) -> None:
        self._weights = weights
        self._precision = precision
        self._sinks: list[Any] = []
        self.input_ids = _parameter("input_ids", [-1, -1])
        self._attention_mask = _parameter("attention_mask", [-1, -1])
        self.position_ids = _parameter("position_ids", [-1, -1])
        self._beam_idx = _parameter("beam_idx", [-1], ov.Type.i32)
        self._causal_mask = self._build_causal_mask()

    def matrix(self, name: str, rows: int, columns: int, transposed: bool = False) -> Any:
        """A weight of `rows` outputs by `columns` inputs, in the graph's precision.

        `transposed` says that the checkpoint stores inputs by outputs, as GPT-2's do.
        """
        value = self._weights.read(name, (columns, rows) if transposed else (rows, columns))
        value = np.ascontiguousarray(value.T) if transposed else value
        if self._precision == "f32":
            return ops.constant(value)
        scales = np.maximum(np.abs(value).max(axis=1, keepdims=True) / 127, 1e-12)
        quantised = np.clip(np.rint(value / scales), -127, 127).astype(np.int8)
        rows_of_floats = ops.convert(ops.constant(quantised), "f32")
        return ops.multiply(rows_of_floats, ops.constant(scales.astype(np.float32)))

    def vector(self, name: str, size: int) -> Any:
        """A bias or a gain, shaped to be broadcast over B and T."""
        return ops.constant(self._weights.read(name, (size,))[None, None])

    def linear(self, x: Any, weight: Any, bias: Any = None) -> Any:
        """x · weightᵀ + bias."""
        y = ops.matmul(x, weight, False, True)
        return y if bias is None else ops.add(y, bias)

    def look_up(self, table: Any, indices: Any) -> Any:
        """The table's rows at the indices (B, T)."""
        return ops.gather(table, ops.convert(indices, "i32"), _integers(0))

    def split_heads(self, x: Any, heads: int) -> Any:
        """(B, T, E) → (B, H, T, D)."""
        split = ops.reshape(x, _integers([0, 0, heads, -1]), True)
        return ops.transpose(split, _integers([0, 2, 1, 3]))

    def attend(self, layer: int, q: Any, k: Any, v: Any, kv_heads: int, heads: int) -> Any:
        """Causal attention of q (B, H, T, D) over the cached k and v (B, kv_heads, T, D), as
        (B, T, E)."""
        name = f"past_key_values.{layer}."
        k = self._cache(f"{name}keypresent.{layer}.key", k)
        v = self._cache(f"{name}valuepresent.{layer}.value", v)
        k, v = (self._repeat_heads(x, kv_heads, heads) for x in (k, v))
        mixed = ops.scaled_dot_product_attention(q, k, v, self._causal_mask)
        # A 0 keeps the dimension; -1 takes the rest.
        return ops.reshape(
            ops.transpose(mixed, _integers([0, 2, 1, 3])), _integers([0, 0, -1]), True
        )

    def build_model(self, x: Any, head: Any, name: str) -> ov.Model:
        """The model whose output is the logits (B, T, vocabulary)."""
        result = ops.result(self.linear(x, head))
        result.output(0).get_tensor().set_names({"logits"})
        inputs = [self.input_ids, self._attention_mask, self.position_ids, self._beam_idx]
        return ov.Model([result], self._sinks, inputs, name)

    def _cache(self, name: str, new: Any) -> Any:
        """The cached keys or values followed by `new`, kept for the next call."""
        shape = new.output(0).get_partial_shape()
        heads, size = shape[1].get_length(), shape[3].get_length()
        info = VariableInfo()
        info.data_shape = ov.PartialShape([-1, heads, -1, size])
        info.data_type, info.variable_id = ov.Type.f32, name
        variable = Variable(info)
        sequences = ops.gather(ops.shape_of(self.input_ids), _integers([0]), _integers(0))
        empty_shape = ops.concat([sequences, _integers([heads, 0, size])], 0)
        empty = ops.broadcast(ops.constant(np.float32(0)), empty_shape)
        past = ops.gather(ops.read_value(empty, variable), self._beam_idx, _integers(0))
        whole = ops.concat([past, new], 2)
        self._sinks.append(ops.assign(whole, variable))
        return whole

    def _repeat_heads(self, x: Any, kv_heads: int, heads: int) -> Any:
        """Each key-value head as often as query heads share it."""
        if kv_heads == heads:
            return x
        size = x.output(0).get_partial_shape()[3].get_length()
        shape = ops.shape_of(x)
        sequences, tokens = (ops.gather(shape, _integers([axis]), _integers(0)) for axis in (0, 2))
        repeats = _integers([kv_heads, heads // kv_heads])
        wide = ops.concat([sequences, repeats, tokens, _integers([size])], 0)
        copies = ops.broadcast(ops.unsqueeze(x, _integers(2)), wide, broadcast_spec="BIDIRECTIONAL")
        return ops.reshape(copies, _integers([0, heads, -1, size]), True)

    def _build_causal_mask(self) -> Any:
        """(B, 1, T, N): 0 where a token may attend, hugely negative where it may not."""
        new, total = (
            ops.squeeze(ops.gather(ops.shape_of(x), _integers([1]), _integers(0)), _integers([0]))
            for x in (self.input_ids, self._attention_mask)
        )
        keys = ops.range(_integers(0), total, _integers(1), "i64")
        new_positions = ops.range(_integers(0), new, _integers(1), "i64")
        queries = ops.add(new_positions, ops.subtract(total, new))
        causal = ops.less_equal(
            ops.unsqueeze(keys, _integers(0)), ops.unsqueeze(queries, _integers(1))
        )
        not_padding = ops.unsqueeze(ops.convert(self._attention_mask, "boolean"), _integers([1, 2]))
        visible = ops.logical_and(ops.unsqueeze(causal, _integers([0, 1])), not_padding)
        return ops.select(visible, ops.constant(np.float32(0)), ops.constant(np.float32(_MASKED)))


@dataclass(frozen=True)
class Decoder:
    """The sizes that every supported decoder has, from its config; `width` is E, `inner` that of
    the MLP, and `tied` says that the head is the table of token embeddings."""

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

    def build(self, graph: Graph) -> ov.Model:
        """Writes the graph, weights included."""
        raise NotImplementedError

    def _head(self, graph: Graph, token_embeddings: Any) -> Any:
        if self.tied:
            return token_embeddings
        return graph.matrix("lm_head.weight", self.vocabulary, self.width)


class GPT2(Decoder):
    """GPT-2 (Radford et al. 2019) of any size."""

    def build(self, graph: Graph) -> ov.Model:
        token_embeddings = graph.matrix("wte.weight", self.vocabulary, self.width)
        position_embeddings = graph.matrix("wpe.weight", self.context, self.width)
        x = ops.add(
            graph.look_up(token_embeddings, graph.input_ids),
            graph.look_up(position_embeddings, graph.position_ids),
        )
        for layer in range(self.layers):
            x = self._block(graph, layer, x)
            _print_progress(layer + 1, self.layers)
        head = self._head(graph, token_embeddings)
        return graph.build_model(self._layer_norm(graph, x, "ln_f"), head, "gpt2")

    def _block(self, graph: Graph, layer: int, x: Any) -> Any:
        block = f"h.{layer}."
        normed = self._layer_norm(graph, x, f"{block}ln_1")
        qkv = self._linear(graph, normed, f"{block}attn.c_attn", 3 * self.width, self.width)
        q, k, v = (
            graph.split_heads(part, self.heads)
            for part in ops.split(qkv, _integers(2), 3).outputs()
        )
        attended = graph.attend(layer, q, k, v, self.heads, self.heads)
        x = ops.add(x, self._linear(graph, attended, f"{block}attn.c_proj", self.width, self.width))
        normed = self._layer_norm(graph, x, f"{block}ln_2")
        hidden = self._linear(graph, normed, f"{block}mlp.c_fc", self.inner, self.width)
        active = ops.gelu(hidden, "tanh")
        return ops.add(x, self._linear(graph, active, f"{block}mlp.c_proj", self.width, self.inner))

    def _linear(self, graph: Graph, x: Any, name: str, outputs: int, inputs: int) -> Any:
        weight = graph.matrix(f"{name}.weight", outputs, inputs, transposed=True)
        return graph.linear(x, weight, graph.vector(f"{name}.bias", outputs))

    def _layer_norm(self, graph: Graph, x: Any, name: str) -> Any:
        normed = ops.mvn(x, _integers([-1]), True, self.epsilon, "inside_sqrt")
        scaled = ops.multiply(normed, graph.vector(f"{name}.weight", self.width))
        return ops.add(scaled, graph.vector(f"{name}.bias", self.width))


@dataclass(frozen=True)
class Llama(Decoder):
    """Llama (Touvron et al. 2023): rotary position embeddings of base `theta`, RMS norms, gated
    MLPs, grouped-query attention."""

    theta: float

    def build(self, graph: Graph) -> ov.Model:
        name = "model.embed_tokens.weight"
        token_embeddings = graph.matrix(name, self.vocabulary, self.width)
        x = graph.look_up(token_embeddings, graph.input_ids)
        cos, sin = self._rotary_tables(graph)
        for layer in range(self.layers):
            x = self._block(graph, layer, x, cos, sin)
            _print_progress(layer + 1, self.layers)
        head = self._head(graph, token_embeddings)
        return graph.build_model(self._rms_norm(graph, x, "model.norm"), head, "llama")

    def _block(self, graph: Graph, layer: int, x: Any, cos: Any, sin: Any) -> Any:
        block = f"model.layers.{layer}."
        normed = self._rms_norm(graph, x, f"{block}input_layernorm")

        def project(part: str, heads: int) -> Any:
            name = f"{block}self_attn.{part}_proj.weight"
            weight = graph.matrix(name, heads * self.head_size, self.width)
            return graph.split_heads(graph.linear(normed, weight), heads)

        q = self._rotate(project("q", self.heads), cos, sin)
        k = self._rotate(project("k", self.kv_heads), cos, sin)
        attended = graph.attend(layer, q, k, project("v", self.kv_heads), self.kv_heads, self.heads)
        name = f"{block}self_attn.o_proj.weight"
        output = graph.matrix(name, self.width, self.heads * self.head_size)
        x = ops.add(x, graph.linear(attended, output))
        return ops.add(x, self._gated_mlp(graph, block, x))

    def _gated_mlp(self, graph: Graph, block: str, x: Any) -> Any:
        normed = self._rms_norm(graph, x, f"{block}post_attention_layernorm")
        gate, up = (
            graph.linear(
                normed, graph.matrix(f"{block}mlp.{part}_proj.weight", self.inner, self.width)
            )
            for part in ("gate", "up")
        )
        active = ops.multiply(ops.swish(gate), up)
        down = graph.matrix(f"{block}mlp.down_proj.weight", self.width, self.inner)
        return graph.linear(active, down)

    def _rms_norm(self, graph: Graph, x: Any, name: str) -> Any:
        square = ops.reduce_mean(ops.power(x, ops.constant(np.float32(2))), _integers([-1]), True)
        root = ops.sqrt(ops.add(square, ops.constant(np.float32(self.epsilon))))
        scaled = ops.multiply(x, ops.divide(ops.constant(np.float32(1)), root))
        return ops.multiply(scaled, graph.vector(f"{name}.weight", self.width))

    def _rotary_tables(self, graph: Graph) -> tuple[Any, Any]:
        """cos and sin at the positions, (B, 1, T, D). From tables: if they were computed in the
        graph, angles of far positions would lose their precision where it runs in bfloat16."""
        exponents = np.arange(0, self.head_size, 2, dtype=np.float32) / np.float32(self.head_size)
        frequencies = (1.0 / (np.float32(self.theta) ** exponents)).astype(np.float32)
        angles = np.outer(np.arange(self.context, dtype=np.float32), frequencies)
        both = np.concatenate([angles, angles], axis=1)
        cos, sin = (
            ops.unsqueeze(graph.look_up(ops.constant(table), graph.position_ids), _integers(1))
            for table in (np.cos(both), np.sin(both))
        )
        return cos, sin

    def _rotate(self, x: Any, cos: Any, sin: Any) -> Any:
        """x (B, H, T, D) rotated by its position (Su et al. 2021), halves paired."""
        first, second = ops.split(x, _integers(3), 2).outputs()
        swapped = ops.concat([ops.negative(second), first], 3)
        return ops.add(ops.multiply(x, cos), ops.multiply(swapped, sin))


def _parameter(name: str, shape: list[int], kind: ov.Type = ov.Type.i64) -> Any:
    parameter = ops.parameter(shape, kind, name=name)
    parameter.output(0).get_tensor().set_names({name})
    return parameter


def _integers(value: int | list[int]) -> Any:
    return ops.constant(np.array(value, dtype=np.int64))


def _print_progress(layer: int, layers: int) -> None:
    """Prints a line for each quarter."""
    quarter = math.ceil(layers / 4)
    if layer % quarter == 0 or layer == layers:
        print(f"Exporting for OpenVINO: {layer} of {layers} layers.", flush=True)

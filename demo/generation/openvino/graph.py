"""GPT-2 and Llama written out in OpenVINO's operations, with a checkpoint's weights.

Shapes in docstrings: B sequences, T new tokens, N tokens with the cached ones, H heads of D values,
E = H·D.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from demo.checkpoints.files import CheckpointError, weights_of
from demo.generation.openvino.runtime import Variable, VariableInfo, ops, ov

Precision = Literal["int8", "f32"]
# Buffers that older checkpoints store beside the weights; they follow from the config.
_BUFFERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")
_MASKED = -3.4e38


class Weights:
    """Tensors of a checkpoint by name, read one at a time: a large file is never in memory whole.
    Its methods raise CheckpointError if a weight is not what the architecture takes."""

    def __init__(self, folder: Path) -> None:
        files: list[Any] = [safe_open(path, framework="pt") for path in weights_of(folder)]
        # GPT-2's own checkpoints lack the prefix that transformers writes.
        self._stored = {
            name.removeprefix("transformer."): (file, name)
            for file in files
            for name in file.keys()  # noqa: SIM118
        }
        self._used: set[str] = set()

    def read(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """A contiguous array of finite numbers, of exactly that shape."""
        if name not in self._stored:
            raise CheckpointError(f"The weight {name} is missing.")
        file, stored_name = self._stored[name]
        # By way of torch: numpy has no bfloat16.
        value = np.ascontiguousarray(file.get_tensor(stored_name).float().numpy())
        if value.shape != shape:
            raise CheckpointError(f"The weight {name} is {value.shape}; its config says {shape}.")
        if not np.isfinite(value).all():
            raise CheckpointError(
                f"The weight {name} is damaged: it has values that are not finite."
            )
        self._used.add(name)
        return value

    def require_all_used(self) -> None:
        """Looks for weights that the architecture has no place for."""
        unused = self._stored.keys() - self._used - {"lm_head.weight"}
        unknown = sorted(name for name in unused if not name.endswith(_BUFFERS))
        if unknown:
            raise CheckpointError(f"The weight {unknown[0]} has no place in its architecture.")


@dataclass(frozen=True)
class Sizes:
    """Of a decoder, from its config. `width` is E, `inner` that of the MLP, `tied` says that the
    head is the table of token embeddings, and `theta` is the base of Llama's rotary positions."""

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
    theta: float = 0.0


class Decoder(ABC):
    """What decoders share: inputs, weights, blocks of cached causal attention and an MLP, logits. A
    checkpoint names their weights by `table`, `blocks`, `norms` and `last_norm`."""

    table: str
    blocks: str
    norms: tuple[str, str]
    last_norm: str

    def __init__(self, sizes: Sizes, weights: Weights, precision: Precision) -> None:
        self.sizes = sizes
        self._weights, self._precision = weights, precision
        self._sinks: list[Any] = []
        self._input_ids = _parameter("input_ids", [-1, -1])
        self._attention_mask = _parameter("attention_mask", [-1, -1])
        self._position_ids = _parameter("position_ids", [-1, -1])
        self._beam_idx = _parameter("beam_idx", [-1], ov.Type.i32)
        self._causal_mask = self._build_causal_mask()

    def build(self, name: str) -> ov.Model:
        """Writes the graph, weights included, whose output is the logits (B, T, vocabulary)."""
        sizes = self.sizes
        table = self._matrix(f"{self.table}.weight", sizes.vocabulary, sizes.width)
        x = self._with_positions(self._look_up(table, self._input_ids))
        for layer in range(sizes.layers):
            block = f"{self.blocks}.{layer}."
            x = x + self._attention(self._norm(x, block + self.norms[0]), block, layer)
            x = x + self._mlp(self._norm(x, block + self.norms[1]), block)
            _print_progress(layer + 1, sizes.layers)
        head = table
        if not sizes.tied:
            head = self._matrix("lm_head.weight", sizes.vocabulary, sizes.width)
        x = self._norm(x, self.last_norm)
        result = ops.result(ops.matmul(x, head, False, True))
        result.output(0).get_tensor().set_names({"logits"})
        self._weights.require_all_used()
        inputs = [self._input_ids, self._attention_mask, self._position_ids, self._beam_idx]
        return ov.Model([result], self._sinks, inputs, name)

    @abstractmethod
    def _with_positions(self, x: Any) -> Any:
        """The token embeddings as the first block takes them."""

    @abstractmethod
    def _norm(self, x: Any, name: str) -> Any: ...

    @abstractmethod
    def _attention(self, x: Any, block: str, layer: int) -> Any: ...

    @abstractmethod
    def _mlp(self, x: Any, block: str) -> Any: ...

    def _matrix(self, name: str, rows: int, columns: int, transposed: bool = False) -> Any:
        """A weight of `rows` outputs by `columns` inputs, in the graph's precision; `transposed` if
        the checkpoint stores inputs by outputs, as GPT-2's do."""
        value = self._weights.read(name, (columns, rows) if transposed else (rows, columns))
        return self._in_precision(np.ascontiguousarray(value.T) if transposed else value)

    def _in_precision(self, value: NDArray[np.float32]) -> Any:
        """A matrix (outputs, inputs) as the graph stores it: f32, or int8 with one scale a row."""
        if self._precision == "f32":
            return ops.constant(value)
        scales = np.maximum(np.abs(value).max(axis=1, keepdims=True) / 127, 1e-12)
        quantised = np.clip(np.rint(value / scales), -127, 127).astype(np.int8)
        rows_of_floats = ops.convert(ops.constant(quantised), "f32")
        return ops.multiply(rows_of_floats, ops.constant(scales.astype(np.float32)))

    def _vector(self, name: str, size: int) -> Any:
        """A bias or a gain, shaped to be broadcast over B and T."""
        return ops.constant(self._weights.read(name, (size,))[None, None])

    def _look_up(self, table: Any, indices: Any) -> Any:
        """The table's rows at the indices (B, T)."""
        return ops.gather(table, ops.convert(indices, "i32"), 0)

    def _split_heads(self, x: Any, heads: int) -> Any:
        """(B, T, E) → (B, H, T, D)."""
        return ops.transpose(ops.reshape(x, [0, 0, heads, -1], True), [0, 2, 1, 3])

    def _attend(self, layer: int, q: Any, k: Any, v: Any) -> Any:
        """Causal attention of q (B, H, T, D) over the cached k and v (B, kv_heads, T, D), as
        (B, T, E)."""
        name = f"past_key_values.{layer}."
        k = self._cache(f"{name}keypresent.{layer}.key", k)
        v = self._cache(f"{name}valuepresent.{layer}.value", v)
        k, v = self._repeat_heads(k), self._repeat_heads(v)
        mixed = ops.scaled_dot_product_attention(q, k, v, self._causal_mask)
        # A 0 keeps the dimension; -1 takes the rest.
        return ops.reshape(ops.transpose(mixed, [0, 2, 1, 3]), [0, 0, -1], True)

    def _cache(self, name: str, new: Any) -> Any:
        """The cached keys or values followed by `new`, kept for the next call."""
        heads, size = self.sizes.kv_heads, self.sizes.head_size
        info = VariableInfo()
        info.data_shape = ov.PartialShape([-1, heads, -1, size])
        info.data_type, info.variable_id = ov.Type.f32, name
        variable = Variable(info)
        empty_shape = ops.concat([_dimension(self._input_ids, 0), _integers([heads, 0, size])], 0)
        empty = ops.broadcast(_float(0), empty_shape)
        past = ops.gather(ops.read_value(empty, variable), self._beam_idx, 0)
        whole = ops.concat([past, new], 2)
        self._sinks.append(ops.assign(whole, variable))
        return whole

    def _repeat_heads(self, x: Any) -> Any:
        """Each key-value head as often as query heads share it."""
        heads, kv_heads, size = self.sizes.heads, self.sizes.kv_heads, self.sizes.head_size
        if kv_heads == heads:
            return x
        shape = ops.shape_of(x)
        sequences, tokens = (ops.gather(shape, [axis], 0) for axis in (0, 2))
        repeats = _integers([kv_heads, heads // kv_heads])
        wide = ops.concat([sequences, repeats, tokens, _integers([size])], 0)
        copies = ops.broadcast(ops.unsqueeze(x, 2), wide, broadcast_spec="BIDIRECTIONAL")
        return ops.reshape(copies, [0, heads, -1, size], True)

    def _build_causal_mask(self) -> Any:
        """(B, 1, T, N): 0 where a token may attend, hugely negative where it may not."""
        new, total = (
            ops.squeeze(_dimension(x, 1), [0]) for x in (self._input_ids, self._attention_mask)
        )
        keys = ops.range(0, total, 1, "i64")
        queries = ops.range(0, new, 1, "i64") + (total - new)
        causal = ops.less_equal(ops.unsqueeze(keys, 0), ops.unsqueeze(queries, 1))
        not_padding = ops.unsqueeze(ops.convert(self._attention_mask, "boolean"), [1, 2])
        visible = ops.logical_and(ops.unsqueeze(causal, [0, 1]), not_padding)
        return ops.select(visible, _float(0), _float(_MASKED))


class GPT2(Decoder):
    """GPT-2 (Radford et al. 2019) of any size."""

    table, blocks, norms, last_norm = "wte", "h", ("ln_1", "ln_2"), "ln_f"

    def _with_positions(self, x: Any) -> Any:
        positions = self._matrix("wpe.weight", self.sizes.context, self.sizes.width)
        return x + self._look_up(positions, self._position_ids)

    def _norm(self, x: Any, name: str) -> Any:
        normed = ops.mvn(x, [-1], True, self.sizes.epsilon, "inside_sqrt")
        scaled = normed * self._vector(f"{name}.weight", self.sizes.width)
        return scaled + self._vector(f"{name}.bias", self.sizes.width)

    def _attention(self, x: Any, block: str, layer: int) -> Any:
        width = self.sizes.width
        qkv = self._linear(x, f"{block}attn.c_attn", 3 * width, width)
        parts = ops.split(qkv, 2, 3).outputs()
        heads = (self._split_heads(part, self.sizes.heads) for part in parts)
        return self._linear(self._attend(layer, *heads), f"{block}attn.c_proj", width, width)

    def _mlp(self, x: Any, block: str) -> Any:
        width, inner = self.sizes.width, self.sizes.inner
        active = ops.gelu(self._linear(x, f"{block}mlp.c_fc", inner, width), "tanh")
        return self._linear(active, f"{block}mlp.c_proj", width, inner)

    def _linear(self, x: Any, name: str, outputs: int, inputs: int) -> Any:
        weight = self._matrix(f"{name}.weight", outputs, inputs, transposed=True)
        return ops.matmul(x, weight, False, True) + self._vector(f"{name}.bias", outputs)


class Llama(Decoder):
    """Llama (Touvron et al. 2023): rotary position embeddings, RMS norms, gated MLPs, grouped-query
    attention."""

    table, blocks, last_norm = "model.embed_tokens", "model.layers", "model.norm"
    norms = ("input_layernorm", "post_attention_layernorm")

    def _with_positions(self, x: Any) -> Any:
        """Positions are in `_rotate`'s cos and sin, (B, 1, T, D). From tables: if they were
        computed in the graph, angles of far positions would lose their precision in bfloat16."""
        size, positions = self.sizes.head_size, np.arange(self.sizes.context, dtype=np.float32)
        exponents = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
        frequencies = (1.0 / (np.float32(self.sizes.theta) ** exponents)).astype(np.float32)
        angles = np.tile(np.outer(positions, frequencies), 2)
        self._cos, self._sin = (
            ops.unsqueeze(self._look_up(ops.constant(table), self._position_ids), 1)
            for table in (np.cos(angles), np.sin(angles))
        )
        return x

    def _norm(self, x: Any, name: str) -> Any:
        square = ops.reduce_mean(ops.power(x, _float(2)), [-1], True)
        root = ops.sqrt(square + _float(self.sizes.epsilon))
        return x * (_float(1) / root) * self._vector(f"{name}.weight", self.sizes.width)

    def _attention(self, x: Any, block: str, layer: int) -> Any:
        sizes, name = self.sizes, f"{block}self_attn."
        heads = {"q": sizes.heads, "k": sizes.kv_heads, "v": sizes.kv_heads}
        widths = [count * sizes.head_size for count in heads.values()]
        # One product instead of three takes a twelfth off the time of a step.
        matrices = [
            self._weights.read(f"{name}{part}_proj.weight", (width, sizes.width))
            for part, width in zip(heads, widths, strict=True)
        ]
        qkv = ops.matmul(x, self._in_precision(np.concatenate(matrices)), False, True)
        parts = ops.variadic_split(qkv, _integers(2), _integers(widths)).outputs()
        q, k, v = map(self._split_heads, parts, heads.values())
        attended = self._attend(layer, self._rotate(q), self._rotate(k), v)
        return self._linear(attended, f"{name}o_proj", sizes.width, sizes.heads * sizes.head_size)

    def _mlp(self, x: Any, block: str) -> Any:
        width, inner = self.sizes.width, self.sizes.inner
        gate = self._linear(x, f"{block}mlp.gate_proj", inner, width)
        up = self._linear(x, f"{block}mlp.up_proj", inner, width)
        return self._linear(ops.swish(gate) * up, f"{block}mlp.down_proj", width, inner)

    def _linear(self, x: Any, name: str, outputs: int, inputs: int) -> Any:
        return ops.matmul(x, self._matrix(f"{name}.weight", outputs, inputs), False, True)

    def _rotate(self, x: Any) -> Any:
        """x (B, H, T, D) rotated by its position (Su et al. 2021), halves paired. OpenVINO knows
        this form, down to the product with -1, and computes it in one operation."""
        halves = _integers([self.sizes.head_size // 2, -1])
        first, second = ops.variadic_split(x, _integers(3), halves).outputs()
        turned = ops.concat([ops.multiply(second, _float(-1)), first], -1)
        return x * self._cos + turned * self._sin


def _parameter(name: str, shape: list[int], kind: ov.Type = ov.Type.i64) -> Any:
    parameter = ops.parameter(shape, kind, name=name)
    parameter.output(0).get_tensor().set_names({name})
    return parameter


def _float(value: float) -> Any:
    return ops.constant(np.float32(value))


def _integers(values: int | list[int]) -> Any:
    return ops.constant(np.array(values, dtype=np.int64))


def _dimension(x: Any, axis: int) -> Any:
    """How large x is along an axis, as a list of one."""
    return ops.gather(ops.shape_of(x), [axis], 0)


def _print_progress(layer: int, layers: int) -> None:
    quarter = math.ceil(layers / 4)
    if layer % quarter == 0 or layer == layers:
        print(f"Exporting for OpenVINO: {layer} of {layers} layers.", flush=True)

"""A checkpoint as an ONNX graph with int8 weights: the exporter of the `onnx_runtime` worker.

Knows ONNX and the runtime's fused operators; must not know how the graph is run.
`python -m benchmarks.engines.onnx_export CHECKPOINT FOLDER`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.engines.onnx_runtime import MODEL
from benchmarks.engines.weights import Hyperparameters, Matrix, Weights

FUSED = "com.microsoft"
OPSET = 20
LAST = 2**62


def export(checkpoint: Path, folder: Path) -> None:
    """Writes the graph with its weights in int8, one scale for each row of a matrix."""
    weights = Weights(checkpoint)
    graph = _Graph(weights.shape)
    build = {"gpt2": _gpt2, "llama": _llama}[weights.shape.architecture]
    build(graph, weights)
    folder.mkdir()
    onnx.save(graph.model(), folder / MODEL)
    (folder / "config.json").write_bytes((checkpoint / "config.json").read_bytes())


class _Graph:
    """Nodes and constants as they come, and the inputs and outputs of a decoder."""

    def __init__(self, shape: Hyperparameters) -> None:
        self.shape = shape
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs = [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "tokens"]),
            helper.make_tensor_value_info("lasts", TensorProto.INT32, ["batch"]),
            helper.make_tensor_value_info("total", TensorProto.INT32, [1]),
        ]
        self._outputs = [
            helper.make_tensor_value_info(
                "logits", TensorProto.FLOAT, ["batch", 1, shape.vocab_size]
            )
        ]

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """The name of the first output of a new node."""
        name = f"{kind}_{len(self._nodes)}"
        self._add(kind, inputs, [name], domain, attributes)
        return name

    def constant(self, value: NDArray[Any]) -> str:
        """The name of a constant."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def positions(self) -> str:
        """The input that says where the tokens stand, for learned positions."""
        self._inputs.append(
            helper.make_tensor_value_info("positions", TensorProto.INT64, ["tokens"])
        )
        return "positions"

    def embed(self, table: Matrix, ids: str) -> str:
        """The rows that the ids name, of a table kept in int8."""
        whole, scales = _quantised(table)
        rows = self.node("Gather", self.constant(whole), ids)
        scale = self.node("Gather", self.constant(scales[:, None]), ids)
        return self.node("Mul", self.node("Cast", rows, to=TensorProto.FLOAT), scale)

    def linear(self, x: str, rows: Matrix, bias: Matrix | None = None) -> str:
        """x [batch, tokens, in] times rows [out, in]; x is quantised as it comes."""
        whole, scales = _quantised(rows)
        inputs = [x, self.constant(whole.T), self.constant(scales), ""]
        inputs += [self.constant(bias)] if bias is not None else []
        return self.node("DynamicQuantizeMatMul", *inputs, domain=FUSED)

    def attend(self, layer: int, qkv: str, rotation: Sequence[str] = ()) -> str:
        """Causal attention over the cache, which is written in place; q, k and v come packed."""
        names = [f"key_{layer}", f"value_{layer}"]
        sizes = ["batch", self.shape.kv_heads, "room", self.shape.head_dim]
        for prefix, side in (("past_", self._inputs), ("present_", self._outputs)):
            side += [
                helper.make_tensor_value_info(prefix + name, TensorProto.FLOAT, sizes)
                for name in names
            ]
        pasts, presents = ([side + name for name in names] for side in ("past_", "present_"))
        made = f"attention_{layer}"
        self._add(
            "GroupQueryAttention",
            [qkv, "", "", *pasts, "lasts", "total", *rotation],
            [made, *presents],
            FUSED,
            {
                "num_heads": self.shape.heads,
                "kv_num_heads": self.shape.kv_heads,
                "do_rotary": int(bool(rotation)),
            },
        )
        return made

    def finish(self, x: str, head: Matrix) -> None:
        """The logits of the last token alone."""
        end = [self.constant(np.array([value], np.int64)) for value in (-1, LAST, 1)]
        last = self.node("Slice", x, *end)
        logits = self.linear(last, head)
        self._add("Identity", [logits], ["logits"], "", {})

    def model(self) -> Any:
        """The whole model."""
        graph = helper.make_graph(
            self._nodes, "decoder", self._inputs, self._outputs, self._constants
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)

    def _add(
        self,
        kind: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        domain: str,
        attributes: dict[str, Any],
    ) -> None:
        self._nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))


def _gpt2(graph: _Graph, w: Weights) -> None:
    def norm(x: str, name: str) -> str:
        parts = [graph.constant(w[f"{name}.{part}"]) for part in ("weight", "bias")]
        return graph.node("LayerNormalization", x, *parts, epsilon=w.shape.epsilon)

    def linear(x: str, name: str) -> str:
        return graph.linear(x, w.transposed(f"{name}.weight"), w[f"{name}.bias"])

    words = w["wte.weight"]
    places = graph.node("Gather", graph.constant(w["wpe.weight"]), graph.positions())
    x = graph.node("Add", graph.embed(words, "ids"), places)
    for layer in range(w.shape.layers):
        block = f"h.{layer}"
        qkv = linear(norm(x, f"{block}.ln_1"), f"{block}.attn.c_attn")
        x = graph.node("Add", x, linear(graph.attend(layer, qkv), f"{block}.attn.c_proj"))
        inner = linear(norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
        inner = graph.node("FastGelu", inner, domain=FUSED)
        x = graph.node("Add", x, linear(inner, f"{block}.mlp.c_proj"))
    graph.finish(norm(x, "ln_f"), words)


def _llama(graph: _Graph, w: Weights) -> None:
    def norm(x: str, name: str) -> str:
        weight = graph.constant(w[f"{name}.weight"])
        return graph.node("SimplifiedLayerNormalization", x, weight, epsilon=w.shape.epsilon)

    def joined(*names: str) -> Matrix:
        return np.concatenate([w[f"{name}.weight"] for name in names])

    words = w["embed_tokens.weight"]
    rotation = [graph.constant(turn) for turn in _rotation(w.shape)]
    x = graph.embed(words, "ids")
    for layer in range(w.shape.layers):
        attention, mlp = f"layers.{layer}.self_attn", f"layers.{layer}.mlp"
        y = norm(x, f"layers.{layer}.input_layernorm")
        qkv = graph.linear(y, joined(*(f"{attention}.{part}_proj" for part in "qkv")))
        y = graph.attend(layer, qkv, rotation)
        x = graph.node("Add", x, graph.linear(y, w[f"{attention}.o_proj.weight"]))
        y = norm(x, f"layers.{layer}.post_attention_layernorm")
        gate = graph.linear(y, w[f"{mlp}.gate_proj.weight"])
        gate = graph.node("QuickGelu", gate, domain=FUSED, alpha=1.0)
        inner = graph.node("Mul", gate, graph.linear(y, w[f"{mlp}.up_proj.weight"]))
        x = graph.node("Add", x, graph.linear(inner, w[f"{mlp}.down_proj.weight"]))
    graph.finish(norm(x, "norm"), words)


def _rotation(shape: Hyperparameters) -> tuple[Matrix, Matrix]:
    """cos and sin [positions, head_dim / 2] of the angles (Su et al. 2021)."""
    steps = np.arange(0, shape.head_dim, 2) / shape.head_dim
    angles = np.outer(np.arange(shape.positions), shape.rope_theta**-steps)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _quantised(rows: Matrix) -> tuple[NDArray[np.int8], Matrix]:
    """int8 [out, in] and the scale of each row [out]."""
    scales = np.maximum(np.abs(rows).max(axis=1) / 127, np.float32(1e-12))
    return np.rint(rows / scales[:, None]).astype(np.int8), scales.astype(np.float32)


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))

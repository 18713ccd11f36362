"""The OpenVINO export, held against transformers in fp32, over models made on the spot."""

import json
import os
import runpy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from demo.checkpoints.files import write_checksums
from demo.checkpoints.resolve import Checkpoint, CheckpointError, resolve_checkpoint
from demo.generation.openvino import export as exporting
from demo.generation.openvino.export import export
from demo.generation.openvino.exported import exported_folder
from demo.generation.openvino.graph import Precision
from demo.generation.openvino.runtime import ov
from demo.settings import read_settings
from tests import tiny
from training.export_accuracy import FLOAT32

IDS = np.array([[0, 5, 17, 200, 31, 8, 99, 4], [0, 0, 0, 7, 7, 250, 3, 1]], np.int64)
MASK = np.array([[1] * 8, [0, 0, 0, 1, 1, 1, 1, 1]], np.int64)


@pytest.fixture(params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return tiny.gpt2() if request.param == "gpt2" else tiny.llama()


def expected_logits(model: Any, positions: Any) -> Any:
    with torch.inference_mode():
        return model.eval()(
            input_ids=torch.tensor(IDS),
            attention_mask=torch.tensor(MASK),
            position_ids=torch.tensor(positions),
        ).logits.numpy()


def logits_in_pieces(folder: Path, positions: Any, pieces: list[slice]) -> Any:
    """The exported model's logits when the ids come piece by piece, its state kept between."""
    compiled = ov.Core().compile_model(folder / "openvino_model.xml", "CPU", dict(FLOAT32))
    run = compiled.create_infer_request()
    found = []
    for piece in pieces:
        inputs = {
            "input_ids": IDS[:, piece],
            "attention_mask": MASK[:, : piece.stop],
            "position_ids": positions[:, piece],
            "beam_idx": np.arange(len(IDS), dtype=np.int32),
        }
        found.append(run.infer(inputs)["logits"].copy())
    return np.concatenate(found, axis=1)


@pytest.mark.parametrize("pieces", [[slice(0, 8)], [slice(0, 3), slice(3, 4), slice(4, 8)]])
def test_the_fp32_export_gives_the_logits_of_transformers(
    model: PreTrainedModel, tmp_path: Path, pieces: list[slice]
) -> None:
    export(tiny.write(tmp_path / "checkpoint", model), tmp_path / "out", precision="f32")
    positions = np.maximum(MASK.cumsum(axis=1) - 1, 0)
    found = logits_in_pieces(tmp_path / "out", positions, pieces)
    real = MASK.astype(bool)
    assert np.abs(found - expected_logits(model, positions))[real].max() < 1e-5


def test_rotary_positions_are_one_operation_and_attention_has_one_input_matrix(
    tmp_path: Path,
) -> None:
    """OpenVINO joins rotary positions only if they are written in the form that it looks for."""
    export(tiny.write(tmp_path / "checkpoint", tiny.llama()), tmp_path / "out")
    compiled = ov.Core().compile_model(tmp_path / "out" / "openvino_model.xml", "CPU")
    run = [node.get_rt_info()["layerType"].value for node in compiled.get_runtime_model().get_ops()]
    layers = tiny.llama().config.num_hidden_layers
    assert run.count("RoPE") == 2 * layers
    # Into query, key and value, nothing else.
    assert run.count("Split") == layers
    products = [kind for kind in run if kind.startswith("FullyConnected")]
    assert len(products) == 5 * layers + 1


def test_the_int8_export_stays_close_and_is_smaller(model: PreTrainedModel, tmp_path: Path) -> None:
    checkpoint = tiny.write(tmp_path / "checkpoint", model)
    sizes = {}
    precisions: tuple[Precision, ...] = ("f32", "int8")
    for precision in precisions:
        export(checkpoint, tmp_path / precision, precision=precision)
        sizes[precision] = (tmp_path / precision / "openvino_model.bin").stat().st_size
    positions = np.maximum(MASK.cumsum(axis=1) - 1, 0)
    whole = [slice(0, 8)]
    exact, rounded = (logits_in_pieces(tmp_path / p, positions, whole) for p in precisions)
    assert 0 < np.abs(rounded - exact).max() < 0.05 * np.abs(exact).max()
    assert sizes["int8"] < 0.5 * sizes["f32"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_are_read_as_they_are(
    model: Any, tmp_path: Path, dtype: torch.dtype
) -> None:
    checkpoint = tiny.write(tmp_path / "checkpoint", model.to(dtype))
    export(checkpoint, tmp_path / "out", precision="f32")
    again = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    positions = np.maximum(MASK.cumsum(axis=1) - 1, 0)
    found = logits_in_pieces(tmp_path / "out", positions, [slice(0, 8)])
    assert np.abs(found - expected_logits(again, positions))[MASK.astype(bool)].max() < 1e-5


def test_shards_are_read_like_one_file(model: PreTrainedModel, tmp_path: Path) -> None:
    export(tiny.write(tmp_path / "one", model), tmp_path / "from_one")
    model.save_pretrained(tmp_path / "many", max_shard_size="20KB")
    tiny.tokenizer().save_pretrained(tmp_path / "many")
    assert len(list((tmp_path / "many").glob("model*.safetensors"))) > 1
    export(tmp_path / "many", tmp_path / "from_many")
    name = "openvino_model.bin"
    assert (tmp_path / "from_one" / name).read_bytes() == (
        tmp_path / "from_many" / name
    ).read_bytes()


def changed_config(folder: Path, **values: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    write_checksums(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "values", "named"),
    [
        ("gpt2", {"model_type": "gpt_neox"}, "gpt_neox"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ("gpt2", {"activation_function": "relu"}, "relu"),
        ("llama", {"hidden_act": "gelu"}, "gelu"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "yarn"),
    ],
)
def test_what_cannot_be_exported_is_named(
    tmp_path: Path, kind: str, values: dict[str, Any], named: str
) -> None:
    model = tiny.gpt2() if kind == "gpt2" else tiny.llama()
    checkpoint = changed_config(tiny.write(tmp_path / "checkpoint", model), **values)
    with pytest.raises(CheckpointError, match=named):
        export(checkpoint, tmp_path / "out")


def spoiled(folder: Path, **changes: Any) -> Path:
    path = folder / "model.safetensors"
    weights = {**load_file(path), **changes}
    save_file({name: value for name, value in weights.items() if value is not None}, path)
    return folder


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (None, "The weight wpe.weight is missing."),
        (torch.zeros(3, 32), r"The weight wpe.weight is \(3, 32\); its config says \(96, 32\)."),
        (torch.full((96, 32), torch.nan), "wpe.weight is damaged"),
    ],
)
def test_a_weight_that_is_not_right_is_named(
    tmp_path: Path, change: torch.Tensor | None, sentence: str
) -> None:
    folder = tiny.write(tmp_path / "checkpoint", tiny.gpt2())
    with pytest.raises(CheckpointError, match=sentence):
        export(spoiled(folder, **{"transformer.wpe.weight": change}), tmp_path / "out")


def test_a_weight_without_a_place_is_named(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "checkpoint", tiny.gpt2())
    with pytest.raises(CheckpointError, match="The weight h.7.extra has no place"):
        export(spoiled(folder, **{"h.7.extra": torch.zeros(2)}), tmp_path / "out")


def resolved(folder: Path) -> Checkpoint:
    settings = read_settings({"CHECKPOINT": str(folder), "CACHE_DIR": str(folder)})
    return resolve_checkpoint(settings, lambda _: None, lambda checkpoint: checkpoint)


def exported_model(folder: Path, cache: Path, say: Callable[[str], None]) -> Path:
    return exported_folder(resolved(folder), cache, say)


def test_it_is_made_once_inside_the_folder(tiny_folder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    made = exported_model(tiny_folder, tmp_path, said.append)
    assert made == tiny_folder / "openvino"
    assert said[0] == f"Exporting {tiny_folder.parent.name} for OpenVINO, once …"
    assert said[-1] == "Exporting for OpenVINO: 2 of 2 layers."
    said.clear()
    assert exported_model(tiny_folder, tmp_path, said.append) == made
    assert said == []


@pytest.mark.usefixtures("exports_here")
def test_in_a_folder_that_is_not_ours_to_write_it_goes_to_the_cache_where_two_stay(
    tiny_folder: Path, tmp_path: Path
) -> None:
    snapshot = replace(resolved(tiny_folder), writable=False)
    exports = tmp_path / "cache" / "openvino"
    for used_at, name in enumerate(("oldest", "older", ".unfinished-by-a-killed-process")):
        (exports / name).mkdir(parents=True)
        os.utime(exports / name, (used_at, used_at))
    made = exported_folder(snapshot, tmp_path / "cache", lambda _: None)
    assert {path.name for path in exports.iterdir()} == {"older", made.name}
    assert not (tiny_folder / "openvino").exists()
    (exports / ".unfinished-by-another-process").mkdir()
    assert exported_folder(snapshot, tmp_path / "cache", lambda said: pytest.fail(said)) == made
    assert {path.name for path in exports.iterdir()} == {"older", made.name}


@pytest.mark.usefixtures("exports_here")
def test_one_that_the_checkpoint_ships_is_taken(tiny_folder: Path, tmp_path: Path) -> None:
    made = exported_model(tiny_folder, tmp_path, lambda _: None)
    shipped = replace(resolved(tiny_folder), writable=False)
    assert exported_folder(shipped, tmp_path, lambda said: pytest.fail(said)) == made


@pytest.mark.usefixtures("exports_here")
@pytest.mark.parametrize("spoil", ["damage", "other weights", "no sums"])
def test_one_that_is_not_this_checkpoints_whole_export_is_made_anew(
    tiny_folder: Path, tmp_path: Path, spoil: str
) -> None:
    made = exported_model(tiny_folder, tmp_path, lambda _: None)
    if spoil == "damage":
        with (made / "openvino_model.bin").open("r+b") as file:
            file.write(b"\xff" * 64)
    elif spoil == "no sums":
        (made / "SHA256SUMS").unlink()
    else:
        tiny.write(tiny_folder, tiny.gpt2(seed=1))
    said: list[str] = []
    assert exported_model(tiny_folder, tmp_path, said.append) == made
    assert said
    assert exported_model(tiny_folder, tmp_path, lambda said: pytest.fail(said)) == made
    assert not list(tiny_folder.glob(".unfinished*"))


@pytest.mark.usefixtures("exports_here")
def test_two_starts_at_once_make_one_whole_export(tiny_folder: Path, tmp_path: Path) -> None:
    together = threading.Barrier(2)

    def start(_: int) -> Path:
        together.wait()
        return exported_model(tiny_folder, tmp_path, lambda _: None)

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(start, range(2))) == {tiny_folder / "openvino"}
    assert not list(tiny_folder.glob(".unfinished*"))
    exported_model(tiny_folder, tmp_path, lambda said: pytest.fail(said))


@pytest.mark.usefixtures("exports_here")
def test_what_cannot_be_exported_ends_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.write(tmp_path / "checkpoint", tiny.gpt2())
    folder = changed_config(model, activation_function="relu")
    with pytest.raises(
        CheckpointError, match=r"^OpenVINO cannot run \w+: Its activation_function is relu"
    ):
        exported_model(folder, tmp_path, lambda _: None)
    # So does the process that exports.
    monkeypatch.setattr("demo.subprocesses.end_with_parent", lambda: None)
    monkeypatch.setattr("sys.argv", ["export", str(folder), str(tmp_path / "out"), ""])
    with pytest.raises(SystemExit, match=r"^Its activation_function is relu"):
        runpy.run_path(exporting.__file__, run_name="__main__")


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    return tiny.write(tmp_path / "checkpoint", tiny.gpt2())

"""Differences in a bit or two a weight: what is left of them, and what training does about it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerControl, TrainerState

from demo.checkpoints.difference import Delta, read_difference, round_trip, write_difference
from tests import tiny
from training import TrainingError
from training.callbacks import UNBOUNDED_STEPS, Clock
from training.deltas import RoundDeltas, due_after


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)) / 100


@pytest.mark.parametrize("planes", [1, 2, 3])
@pytest.mark.parametrize("shape", [(40, 24), (3, 7), (1, 1), (9,)])
def test_what_is_read_is_what_was_said_to_be_round_trip(
    shape: tuple[int, ...], planes: int, tmp_path: Path
) -> None:
    values = noise(*shape)
    write_difference(tmp_path / "d.safetensors", {"a.weight": Delta(values, planes)})
    read = read_difference(tmp_path / "d.safetensors")
    assert list(read) == ["a.weight"]
    assert torch.equal(read["a.weight"], round_trip(Delta(values, planes)))


def test_rows_that_are_stored_whole_are_kept_to_bfloat16(tmp_path: Path) -> None:
    values, chosen = noise(40, 24), torch.tensor([0, 7, 39])
    delta = Delta(values, 1, chosen)
    write_difference(tmp_path / "d.safetensors", {"a.weight": delta})
    read = read_difference(tmp_path / "d.safetensors")["a.weight"]
    assert torch.equal(read, round_trip(delta))
    others = torch.ones(40).bool().index_fill(0, chosen, value=False)
    torch.testing.assert_close(read[chosen], values[chosen], rtol=0.01, atol=0)
    assert torch.equal(read[others], round_trip(Delta(values))[others])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"a.whole_at": torch.tensor([0, 40], dtype=torch.int32)}, "do not go with its planes"),
        ({"a.whole_at": torch.tensor([-1, 3], dtype=torch.int32)}, "do not go with its planes"),
        ({"a.whole_at": torch.tensor([0.5, 1])}, "lacks the numbers"),
        ({"a.whole": torch.zeros(2, 23)}, "do not go with its planes"),
        ({"a.whole": torch.zeros(2)}, "do not go with its planes"),
        ({"b.whole": torch.zeros(2, 24)}, "b lacks the numbers"),
    ],
)
def test_whole_rows_that_do_not_fit_are_refused(
    changed: dict[str, torch.Tensor], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "d.safetensors"
    write_difference(path, {"a": Delta(noise(40, 24), 1, torch.tensor([0, 7]))})
    save_file({**load_file(path), **changed}, path)
    with pytest.raises(ValueError, match=message):
        read_difference(path)


def test_each_plane_takes_off_some_of_the_error() -> None:
    values = noise(200, 300)
    errors = [
        float((values - round_trip(Delta(values, planes))).norm() / values.norm())
        for planes in (1, 2, 3)
    ]
    # One bit of a normal variable leaves sqrt(1 - 2 / pi) of it.
    assert errors[0] == pytest.approx(0.603, abs=0.01)
    assert errors[2] < 0.7 * errors[1] < 0.5 * errors[0]


def test_magnitudes_that_are_products_of_two_scales_are_kept_to_bfloat16() -> None:
    signs = torch.sign(noise(30, 20))
    rows, columns = torch.linspace(0.001, 2, 30), torch.linspace(0.5, 1, 20)
    values = signs * torch.outer(rows, columns)
    torch.testing.assert_close(round_trip(Delta(values)), values, rtol=0.01, atol=0)


def test_nothing_is_kept_of_nothing() -> None:
    assert not round_trip(Delta(torch.zeros(4, 5), 2)).any()


def test_a_weight_takes_little_more_than_a_bit(tmp_path: Path) -> None:
    write_difference(tmp_path / "d.safetensors", {"a": Delta(noise(1024, 512))})
    assert (tmp_path / "d.safetensors").stat().st_size * 8 < 1.1 * 1024 * 512


def test_steps_that_are_due_see_rounded_weights_and_move_exact_ones() -> None:
    model = tiny.llama()
    base = {name: value.detach().clone() for name, value in model.named_parameters()}
    tokens = torch.tensor([2, 5])
    rounding = RoundDeltas(model, ["q_proj"], lambda step: step >= 3, tokens)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(noise(*value.shape))
    exact = {name: value.detach().clone() for name, value in model.named_parameters()}

    def rounded(name: str) -> torch.Tensor:
        planes = 2 if "q_proj" in name else 1
        whole = tokens if "embed_tokens" in name else None
        return base[name] + round_trip(Delta(exact[name] - base[name], planes, whole))

    def is_exact() -> bool:
        return all(torch.equal(value, exact[name]) for name, value in model.named_parameters())

    def is_rounded() -> bool:
        return all(torch.equal(value, rounded(name)) for name, value in model.named_parameters())

    anything: Any = None
    for number, expected in ((2, is_exact), (3, is_rounded)):
        moment = (anything, TrainerState(global_step=number), TrainerControl())
        rounding.on_step_begin(*moment)
        assert expected()
        rounding.on_pre_optimizer_step(*moment)
        assert is_exact()
    with rounding.rounded():
        assert is_rounded()
    assert is_exact()
    differences = rounding.deltas()
    assert {name for name, delta in differences.items() if delta.planes == 2} == {
        f"model.layers.{layer}.self_attn.q_proj.weight" for layer in (0, 1)
    }
    assert all(
        torch.equal(delta.values, exact[name] - base[name]) for name, delta in differences.items()
    )


def test_a_part_that_is_in_no_name_is_refused() -> None:
    with pytest.raises(TrainingError, match="'teapots' in its name"):
        RoundDeltas(tiny.llama(), ["q_proj", "teapots"], lambda _: True)


def test_the_share_of_a_run_is_of_its_steps_or_of_its_minutes() -> None:
    by_steps = due_after(0.5, None, 9)
    assert [by_steps(step) for step in (4, 5)] == [False, True]
    seconds = 0.0
    clock = Clock(minutes=1, now=lambda: seconds)
    by_clock = due_after(0.5, clock, UNBOUNDED_STEPS)
    assert not by_clock(7)
    seconds = 30.0
    assert by_clock(7)

"""A step is cut until it fits, and what is learnt stays the same."""

from functools import partial
from unittest.mock import patch

import pytest
import torch
from transformers import GPT2Config

from tests.processes import free_port
from tests.training.forked import forked
from training import TrainingError
from training.memory import smallest_free_memory, split_batch, step_bytes
from training.recipe import Difference, Lora, Recipe, read_recipe

GIB = 2**30
MEDIUM_WEIGHTS = 354_823_168
MEDIUM = GPT2Config(n_layer=24, n_head=16, n_embd=1024)
RECIPE = read_recipe("gpt2-medium")


def needed(rows: int, checkpointing: bool, recipe: Recipe = RECIPE) -> int:
    """Bytes of a step of GPT-2 medium."""
    return step_bytes(recipe, MEDIUM_WEIGHTS, MEDIUM, rows, checkpointing)


def test_where_there_is_room_nothing_is_cut() -> None:
    assert split_batch(RECIPE, needed, 80 * GIB, ranks=1) == RECIPE


@pytest.mark.parametrize("ranks", [1, 2, 8])
@pytest.mark.parametrize("room", [6.2, 7, 9, 14])
def test_the_step_fits_and_its_batch_stays_the_same(room: float, ranks: int) -> None:
    found = split_batch(RECIPE, needed, int(room * GIB), ranks)
    rows, rest = divmod(found.batch_size, ranks * found.gradient_accumulation)
    assert rest == 0
    assert needed(rows, found.activation_checkpointing) <= room * GIB
    assert found.changed(gradient_accumulation=1, activation_checkpointing=False) == RECIPE


def test_accumulation_comes_before_checkpointing() -> None:
    one_row = needed(1, False)
    assert split_batch(RECIPE, needed, one_row, 1).gradient_accumulation == 32
    assert not split_batch(RECIPE, needed, one_row, 1).activation_checkpointing
    assert split_batch(RECIPE, needed, one_row - 1, 1).activation_checkpointing


def test_what_never_fits_is_refused_with_what_to_do() -> None:
    with pytest.raises(TrainingError, match=r"about 5\.\d+ GiB .*--lora 16"):
        split_batch(RECIPE, needed, 2 * GIB, ranks=1)


def test_weights_rounded_to_deltas_need_two_copies_more() -> None:
    rounded = RECIPE.changed(base="packaged", difference=Difference(start=0.5))
    assert needed(1, False, rounded) - needed(1, False) == 8 * MEDIUM_WEIGHTS


def test_a_process_asks_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda gpu: (GIB * (gpu + 1), 0))
    assert smallest_free_memory() == 2 * GIB


def _print_free_memory() -> None:
    with patch("torch.cuda.mem_get_info", lambda gpu: ([9, 7][gpu], 0)):
        print(smallest_free_memory())
    torch.distributed.destroy_process_group()


def test_all_processes_count_on_the_gpu_with_the_least_room() -> None:
    """Or one would split its step otherwise, and wait for the others forever."""
    group = {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }  # fmt: skip
    with (
        forked(_print_free_memory, **group, RANK="0", LOCAL_RANK="0") as one,
        forked(_print_free_memory, **group, RANK="1", LOCAL_RANK="1") as other,
    ):
        assert [one.finish(), other.finish()] == [(0, "7\n"), (0, "7\n")]


def test_an_adapter_needs_less() -> None:
    adapter = RECIPE.changed(method="lora", lora=Lora(rank=8, alpha=8))
    room = needed(1, False, adapter)
    assert needed(1, False) - room == 12 * MEDIUM_WEIGHTS
    fits = partial(needed, recipe=adapter)
    assert not split_batch(adapter, fits, room, ranks=1).activation_checkpointing
    with pytest.raises(TrainingError):
        split_batch(RECIPE, needed, room, ranks=1)

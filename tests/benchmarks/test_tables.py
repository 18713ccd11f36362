"""What the benchmarks' tables say of given measurements; nothing is measured here."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    RepetitionPenaltyLogitsProcessor,
)

from benchmarks import guess, prepare, raw, report
from benchmarks.engines import REPETITION_PENALTY, TEMPERATURE, count_nats, draw, penalise
from benchmarks.exports import export_gguf
from benchmarks.guess import Played, Round
from benchmarks.measuring import RESULTS, number, spread
from benchmarks.prepare import Prepared
from tests import tiny


def test_the_committed_page_of_serve_is_what_its_records_say(tmp_path: Path) -> None:
    report.write(report.Observations.read(RESULTS / "serve.json"), tmp_path)
    for name in ("serve.md", "serve.json"):
        assert (tmp_path / name).read_bytes() == (RESULTS / name).read_bytes(), name


def test_a_figure_has_three_significant_digits() -> None:
    assert [number(one) for one in (0, 0.04321, 9.876, 98.76, 1987.6)] == [
        "0", "0.043", "9.88", "98.8", "1,988",
    ]  # fmt: skip
    assert spread([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"


@pytest.mark.parametrize("power", [1, 2])
def test_growth_is_the_power_of_the_cpu_time(power: int) -> None:
    found = [Prepared(size, 1.0, 3.0 * size**power, 1.0) for size in (100, 1_000)]
    assert prepare.growth(*found) == pytest.approx(power)


def test_a_script_that_sees_what_gives_a_kind_away_is_found_out() -> None:
    """The strategies learn: on rounds that are no game at all they are right."""
    chance = random.Random(0)
    truths = [chance.random() < 0.5 for _ in range(120)]
    rounds = [
        Played(
            Round(
                text="tea!" + " tea" * (4 * truth),
                ticket="Az"[truth] * 48,
                seconds=0.1 + truth,
                repeated=1.0 - truth,
                rare=4 + truth,
            ),
            truth,
            None,
        )
        for truth in truths
    ]
    # On models this small, threads only wait for each other.
    with threadpool_limits(1):
        page = "\n".join(guess.render(rounds, outside_cores=0.0))
    for name in (
        "length, best",
        "length, as",
        "punctuation",
        "response time",
        "what",
        "number of rare words",
        "characters",
    ):
        (share,) = re.findall(rf"^\| {name}[^|]*\| ([\d.]+)%", page, re.MULTILINE)
        assert float(share) > 90, name
    assert guess.share_right([True, False] * 50) == ("50.0%", "40.4% to 59.6%")


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [(0.95, [0.625, 0.3125, 0.0625, 0, 0]), (1.0, [0.6, 0.3, 0.06, 0.03, 0.01])],
)
def test_tokens_are_drawn_from_the_nucleus_by_their_shares(
    top_p: float, expected: list[float]
) -> None:
    """Top-p 0.95 keeps the first three; the others are drawn never."""
    shares = np.array([0.6, 0.3, 0.06, 0.03, 0.01])
    logits = np.log(shares).astype(np.float32) * TEMPERATURE
    drawn = draw(np.tile(logits, (20_000, 1)), top_p, np.random.default_rng(0))
    found = np.bincount(drawn, minlength=5) / len(drawn)
    assert found == pytest.approx(expected, abs=0.01)


def test_the_penalty_and_the_bits_are_those_of_transformers() -> None:
    chance = np.random.default_rng(0)
    logits = chance.normal(size=(3, 50)).astype(np.float32)
    texts = chance.integers(50, size=(3, 7))
    theirs = RepetitionPenaltyLogitsProcessor(REPETITION_PENALTY)(
        torch.from_numpy(texts), torch.from_numpy(logits)
    )
    assert penalise(logits, texts) == pytest.approx(theirs.numpy())
    ids, mask = chance.integers(50, size=(3, 1)), np.array([[1], [1], [0]])
    entropy = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits[:2]), torch.from_numpy(ids[:2, 0]), reduction="sum"
    )
    assert count_nats(logits[:, None], ids, mask) == pytest.approx(float(entropy))


def test_a_peer_that_costs_more_bits_is_not_held_against_ours() -> None:
    """ONNX Runtime is the fastest, and costs half a per cent; llama.cpp is half as fast."""
    rows = []
    for peer, bits, speed in zip(raw.PEERS, (1.001, 1.005, 1.0, 1.0), (5, 20, 10, 1), strict=True):
        row = raw.Row("embedded", peer.name, not peer.is_ours, 1e8, bits_per_byte=bits)
        row.speeds = [raw.Speeds(raw.Load(1, 64, 1.0), [float(speed)], [0.0])]
        rows.append(row)
    (table,) = (part for part in raw.render(rows, (1e9, 2e9)) if part.startswith("| engine"))
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in table.splitlines()}
    ratios = {peer.name: cells[peer.name][7] for peer in raw.PEERS}
    assert list(ratios.values()) == ["0.50", "2.00", "1.00", "0.10"]
    assert cells["ONNX Runtime int8"][4] == "1.0050 (+0.50 %)"


@pytest.mark.parametrize("make", [tiny.gpt2, tiny.llama])
def test_the_exported_gguf_computes_what_the_checkpoint_does(
    make: Callable[[], PreTrainedModel], tmp_path: Path
) -> None:
    checkpoint = tiny.write(tmp_path / "checkpoint", make())
    export_gguf(checkpoint, tmp_path / "gguf")
    config = AutoConfig.from_pretrained(checkpoint)
    exported = AutoModelForCausalLM.from_pretrained(
        tmp_path / "gguf", gguf_file="model.gguf", config=config
    )
    ids = torch.arange(12)[None]
    with torch.no_grad():
        both = [
            model(ids, attention_mask=torch.ones_like(ids)).logits.flatten()
            for model in (AutoModelForCausalLM.from_pretrained(checkpoint), exported)
        ]
    assert float(torch.corrcoef(torch.stack(both))[0, 1]) > 0.999


class FakeWorker:
    """A worker as far as its logits."""

    def __init__(self, logits: list[float] | None) -> None:
        self.logits = None if logits is None else np.array([logits], np.float32)


def test_an_engine_with_wrong_logits_gets_no_figures() -> None:
    ours, onnx, llama, baseline = raw.PEERS
    workers = {
        ours: FakeWorker(None),
        onnx: FakeWorker([1.0, 2.1, 2.9, 4.0]),
        llama: FakeWorker([4.0, 1.0, 3.0, 2.0]),
        baseline: FakeWorker([1.0, 2.0, 3.0, 4.0]),
    }
    rows = {peer: raw.Row("tiny", peer.name, True, 1.0) for peer in workers}
    raw.compare_logits(workers, rows)  # type: ignore[arg-type]
    assert list(workers) == [ours, onnx, baseline]
    assert rows[llama].note.startswith("Wrong logits")
    assert [rows[peer].correlation for peer in (ours, baseline)] == [None, pytest.approx(1.0)]

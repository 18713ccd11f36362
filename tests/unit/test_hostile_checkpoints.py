"""A hostile checkpoint is refused in one sentence, soon, and in little memory; nothing of it runs.

The starts are made in a process with limits for time and memory, which ends where one breaks them.
"""

import re
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from demo.checkpoints.embedded import BaseFile
from demo.checkpoints.files import CheckpointError, write_checksums
from demo.checkpoints.weights import load_model
from demo.generation.openvino.export import export
from tests import hostile_checkpoints as hostile
from tests import tiny
from tests.forking import Forked
from tests.hostile_checkpoints import SECONDS, Outcome, spoiled

Run = Callable[[Path, Callable[[Path], Outcome]], Outcome]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs a start in a process of its own, which is replaced if a checkpoint ends it."""
    output = tmp_path_factory.mktemp("starts") / "output"
    processes: list[tuple[Forked, Connection]] = []

    def run_one(folder: Path, start: Callable[[Path], Outcome]) -> Outcome:
        if not processes:
            ours, theirs = Pipe()
            with theirs:
                processes.append((Forked(output, hostile.serve, given=theirs), ours))
        process, line = processes[-1]
        line.send((start, folder))
        try:
            outcome: Outcome = line.recv()
        except (EOFError, ConnectionResetError):
            processes.clear()
            code, said = process.wait(60), output.read_text(encoding="utf-8")[-2_000:]
            pytest.fail(f"The process ended ({code}); it had {SECONDS} seconds.\n{said}")
        return outcome

    yield run_one
    for process, line in processes:
        line.close()
        process.kill()
        process.wait(60)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, noise_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "openvino"
    export(noise_folder, folder)
    return folder


def test_an_ordinary_one_is_taken_within_the_same_limits(run: Run, noise_folder: Path) -> None:
    outcome = run(noise_folder, hostile.load)
    assert (outcome.refusal, outcome.said) == ("", ())


@pytest.mark.parametrize("case", hostile.REFUSED)
def test_a_hostile_file_is_refused_in_a_sentence(
    run: Run, noise_folder: Path, tmp_path: Path, case: str
) -> None:
    spoil, sentence = hostile.REFUSED[case]
    outcome = run(spoiled(noise_folder, tmp_path / "hostile", spoil), hostile.load)
    assert_is_sentence(outcome.refusal, sentence)


@pytest.mark.parametrize("case", hostile.TAKEN)
def test_what_is_not_needed_is_neither_read_nor_run(
    run: Run, noise_folder: Path, tmp_path: Path, case: str
) -> None:
    folder = spoiled(noise_folder, tmp_path / "hostile", hostile.TAKEN[case])
    outcome = run(folder, hostile.load)
    assert outcome.refusal == ""
    assert set(outcome.figures.values()) == {None}


@pytest.mark.parametrize("case", hostile.WITHOUT_THE_JUDGE)
def test_a_judge_that_lies_is_left_out(
    run: Run, noise_folder: Path, tmp_path: Path, case: str
) -> None:
    folder = spoiled(noise_folder, tmp_path / "hostile", hostile.WITHOUT_THE_JUDGE[case])
    outcome = run(folder, hostile.load)
    assert outcome.refusal == ""
    assert [sentence.endswith("is used without.") for sentence in outcome.said] == [True]


def test_what_nobody_reads_is_not_hashed_though_it_is_listed(
    run: Run, noise_folder: Path, tmp_path: Path
) -> None:
    folder = spoiled(noise_folder, tmp_path / "hostile", hostile.listed_junk, with_sums=True)
    assert run(folder, hostile.load).refusal == ""


def test_a_config_that_asks_for_far_more_than_its_weights_is_refused_before_it_is_built(
    tmp_path: Path,
) -> None:
    folder = tiny.write(tmp_path / "hostile", tiny.gpt2())
    # As many layers as there are weights, each as wide as it may be.
    hostile.edited("config.json", n_layer=28, n_inner=290, vocab_size=290, n_head=1, n_embd=290)(
        folder
    )
    with pytest.raises(CheckpointError, match=r"config.json of hostile asks for [\d,]+ numbers"):
        load_model(folder, torch.float32, "cpu")


@pytest.mark.parametrize("case", hostile.EXPORTS)
def test_a_hostile_export_is_not_given_to_openvino(
    run: Run, exported: Path, tmp_path: Path, case: str
) -> None:
    spoil, sentence = hostile.EXPORTS[case]
    folder = spoiled(exported, tmp_path / "openvino", spoil)
    write_checksums(folder) if case in ("entities", "a loop") else (folder / "SHA256SUMS").touch()
    assert_is_sentence(run(folder, hostile.check_export).refusal, sentence)


def test_an_export_of_ours_is(run: Run, exported: Path) -> None:
    assert run(exported, hostile.check_export) == Outcome("", (), {})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("package", "--index-url=http://evil"),
        ("package", "a @ http://evil/x.whl"),
        ("version", "1.0 --pre"),
        ("member", "os.path/x.gguf"),
        ("member", "../../x.gguf"),
        ("sha256", "../../../evil"),
        ("sha256", 1),
        ("bytes", 10**30),
        ("bytes", "1"),
        ("license", "<b>"),
        ("another", "x"),
    ],
)
def test_a_base_that_pip_or_a_path_could_misread_is_refused(
    tmp_path: Path, field: str, value: object
) -> None:
    (tmp_path / "base.gguf").write_bytes(b"made up")
    folder = tiny.write_tuned(tmp_path / "tuned", tmp_path / "base.gguf")
    hostile.edited("base.json", **{field: value})(folder)
    with pytest.raises(CheckpointError, match=r"base\.json of tuned does not describe a base file"):
        BaseFile.read(folder / "base.json")


def assert_is_sentence(refusal: str, about: str) -> None:
    """One line that is not longer than a reader bears, and gives nothing away."""
    assert refusal
    assert "\n" not in refusal
    assert len(refusal) < 400
    assert hostile.SECRET not in refusal
    assert re.search(about, refusal), refusal

"""The owner's walk: prepare → finetune → evaluate through the command line, a few steps each."""

import io
import json
import re
import resource
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import pipeline

from demo.checkpoints.files import verify_checksums
from tests import made_up
from tests.training.conftest import verb
from tests.training.forked import forked, run_verb
from training.__main__ import main
from training.bits_per_byte import score_texts, summarise
from training.prepare import read_texts
from training.visitors import CONTINUED
from training.working_tree import ROOT

REQUIRED = {"finetune": ["--recipe", "scratch"], "deploy": ["--space", "a/b", "--model", "a/b"]}
CONTRACT = {
    "README.md", "SHA256SUMS", "config.json", "generation_config.json", "metrics.json",
    "model.safetensors", "persona.json", "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip


def test_finetune_writes_the_checkpoint_of_the_contract(scratch_run: Path) -> None:
    folder = scratch_run / "checkpoint"
    assert {path.name for path in folder.iterdir()} == CONTRACT
    verify_checksums(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["training"]["steps"] == 12
    assert metrics["recipe"]["method"] == "scratch"
    assert metrics["data"]["counts"]["kept"] == 300
    decoding = json.loads((folder / "generation_config.json").read_text())
    context = json.loads((folder / "config.json").read_text())["n_positions"]
    assert (decoding["do_sample"], decoding["max_new_tokens"]) == (True, min(80, context // 2))
    assert 'tokenizer_class": "GPT2Tokenizer' in (folder / "tokenizer_config.json").read_text()


def test_finetune_leaves_curves_and_samples(scratch_run: Path) -> None:
    history = json.loads((scratch_run / "curves.json").read_text())
    assert any("loss" in entry and "learning_rate" in entry for entry in history)
    measured = [entry for entry in history if "eval_bits_per_byte" in entry]
    assert [entry["step"] for entry in measured] == [0, 12]
    assert measured[0]["eval_bits_per_byte"] > measured[1]["eval_bits_per_byte"] > 0
    samples = [
        json.loads(line) for line in (scratch_run / "samples.jsonl").read_text().splitlines()
    ]
    assert {sample["step"] for sample in samples} == {12}
    assert any(sample["text"].startswith("Today I'll be") for sample in samples)


def test_three_lines_as_in_the_blog_post(scratch_run: Path, prepared: Path) -> None:
    folder = scratch_run / "checkpoint"
    generate: Any = pipeline("text-generation", model=str(folder))
    text = generate("Today I'll be")[0]["generated_text"]
    assert text.startswith("Today I'll be")
    # What generates is what was trained, measured and found best.
    dev = score_texts(read_texts(prepared, "dev"), generate.model, generate.tokenizer)
    training = json.loads((folder / "metrics.json").read_text())["training"]
    measured = training["best_dev_bits_per_byte"]
    assert summarise(dev).bits_per_byte == pytest.approx(measured, rel=1e-4)


@pytest.mark.usefixtures("short_samples")
def test_evaluate_prints_and_records_every_figure(
    scratch_run: Path, prepared: Path, tmp_path: Path
) -> None:
    # A copy: evaluate writes into the folder, which the other tests take as finetune left it.
    folder = tmp_path / "checkpoint"
    shutil.copytree(scratch_run / "checkpoint", folder)
    done = verb("evaluate", "--checkpoint", folder, "--data", prepared, "--samples", 24)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((folder / "metrics.json").read_text())
    evaluation = metrics["evaluation"]
    assert set(evaluation) == {"dev", "test", "test_time"}
    for name, by_model in evaluation.items():
        assert {"checkpoint", "byte unigram", "byte 8-gram, Kneser-Ney"} == set(by_model)
        for figure in by_model.values():
            assert figure["low"] <= figure["bits_per_byte"] <= figure["high"]
            assert f"{figure['bits_per_byte']:.4f}" in done.stdout, name
    verify_checksums(folder)
    card = (folder / "README.md").read_text()
    assert f"{evaluation['test']['checkpoint']['bits_per_byte']:.4f}" in card
    assert "bits_per_byte" in card.split("---")[1]
    assert "(curve.png)" in card
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    texts = metrics["texts"]
    assert texts["samples"] == texts["generated"]["texts"] == texts["real"]["texts"] == 12
    assert set(texts["novelty"]["real"]) == {"5", "6", "7", "8", "9", "10"}
    assert len(texts["unpicked"]) == 12
    for name, found in texts["verbatim_intervals"].items():
        assert found["low"] <= texts["verbatim"][name] <= found["high"]
    assert texts["decoding"]["temperature"] == 0.9
    assert f"| {texts['generated']['distinct_1']:.4f} | {texts['real']['distinct_1']:.4f} |" in card
    read = metrics["visitors"]
    texts_of = {name: one["texts"] for name, one in read["groups"].items()}
    # How many of them may be continued is up to the model.
    texts_of.pop(CONTINUED, None)
    assert texts_of.pop("real tweets of test") == 14
    assert texts_of.pop("real tweets with the 20 openings") > 0
    assert texts_of == {
        "no prompt": 12, "the page's examples": 6, "20 openings": 6, "mood: On script": 3,
        "mood: Off script": 3, "mood: 3 a.m.": 3, "mood: One-liner": 3,
    }  # fmt: skip
    assert read["samples"] == 24
    for bar in read["bars"]:
        assert f"| {bar['name']} | {bar['found']['value']:.4f} |" in card
        assert bar["name"] in done.stdout
    assert {(row["prefix_tokens"], row["set"]) for row in metrics["memorisation"]} == {
        (10, "train"), (10, "test"), (50, "train"), (50, "test"),
    }  # fmt: skip
    assert "| 10 tokens | **this model** | train |" in card


def test_long_posts_are_learnt_whole(tmp_path: Path) -> None:
    """Each of five tweets of the made-up archive: longer than the recipe's rows and context."""
    texts = [row["text"] for row in made_up.rows(400)]
    posts = [" ".join(texts[i : i + 5]) for i in range(0, 400, 5)]
    archive = made_up.write(
        tmp_path / "archive.csv", [made_up.row(i, text) for i, text in enumerate(posts)]
    )
    assert verb("prepare", archive, "--out", tmp_path / "data").returncode == 0
    recipe = tmp_path / "small.toml"
    recipe.write_text(
        'method = "scratch"\nlearning_rate = 1e-3\nepochs = 1\nblock_size = 32\n[scratch]\n'
        "vocab_size = 400\nn_positions = 64\nn_embd = 32\nn_layer = 1\nn_head = 2\n"
    )
    done = verb("finetune", "--recipe", recipe, "--data", tmp_path / "data",
                "--out", tmp_path / "run", "--max-steps", 1, "--no-tracking")  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = re.search(r"Rows have ([\d,]+) tokens and a step 1 of them, not 8 of 32", done.stdout)
    assert said is not None, done.stdout
    metrics = json.loads((tmp_path / "run" / "checkpoint" / "metrics.json").read_text())
    assert metrics["recipe"]["block_size"] == metrics["recipe"]["scratch"]["n_positions"]
    assert metrics["recipe"]["block_size"] == int(said[1].replace(",", "")) > 64
    assert metrics["training"]["in_pieces"] <= 1
    config = json.loads((tmp_path / "run" / "checkpoint" / "config.json").read_text())
    assert config["n_positions"] == metrics["recipe"]["block_size"]


def test_a_persona_is_corrected_afterwards(scratch_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(scratch_run / "checkpoint", folder)
    weights = (folder / "model.safetensors").read_bytes()
    persona = tmp_path / "mine.toml"
    persona.write_text((ROOT / "training" / "persona.toml").read_text().replace("Trump", "Teapot"))
    done = verb("persona", persona, "--checkpoint", folder)
    assert done.returncode == 0, done.stderr
    assert "It was: Persona: Donald Trump" in done.stdout
    assert "Persona: Donald Teapot (Donald Teapot's tweets (2009 to 2021))" in done.stdout
    verify_checksums(folder)
    card = (folder / "README.md").read_text()
    assert "# Teapot or Computer Dump?" in card
    assert "Trump" not in card
    assert (folder / "model.safetensors").read_bytes() == weights
    persona.write_text("name = 1")
    done = verb("persona", persona, "--checkpoint", folder)
    assert (done.returncode, "name must be a text" in done.stderr) == (1, True)
    verify_checksums(folder)


def test_a_full_disk_is_one_sentence_and_what_was_there_stays(
    scratch_run: Path,
    recipe: Path,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No file may grow beyond a few kilobytes: as on a disk that is full."""
    folder = tmp_path / "run"
    shutil.copytree(scratch_run, folder)
    before = {path.name: path.read_bytes() for path in (folder / "checkpoint").iterdir()}
    monkeypatch.setattr("training.judges.DIGEST_BATCHES", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, hard))
    try:
        given = ["--data", prepared, "--checkpoint", folder / "checkpoint"]
        judges = verb("judges", *given)
        training = verb("finetune", "--recipe", recipe, "--data", prepared,
                        "--out", tmp_path / "new", "--max-steps", 1, "--no-tracking")  # fmt: skip
        resumed = verb("finetune", "--recipe", recipe, "--data", prepared,
                       "--out", folder, "--max-steps", 12, "--no-tracking", "--resume")  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for done in (judges, training, resumed):
        assert done.returncode == 1
        assert "There is no space left to write" in done.stderr
        assert "Traceback" not in done.stderr
    assert before == {path.name: path.read_bytes() for path in (folder / "checkpoint").iterdir()}
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint", "curves.json", "samples.jsonl", "states",
    ]  # fmt: skip
    again = verb("finetune", "--recipe", recipe, "--data", prepared, "--max-steps", 1,
                 "--out", tmp_path / "new", "--no-tracking", "--resume")  # fmt: skip
    assert again.returncode == 0, again.stderr


def test_a_disk_that_is_too_small_is_found_out_before_the_first_step(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    done = verb("finetune", "--recipe", "scratch", "--data", prepared, "--out", tmp_path)
    assert done.returncode == 1
    assert re.search(r"The run needs 0\.\d GB .*, and 0\.0 GB are free", done.stderr)
    assert "dev bits per byte" not in done.stdout


def test_a_terminal_without_the_letters_of_a_tweet_ends_no_verb(
    scratch_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(scratch_run / "checkpoint", folder)
    text = (ROOT / "training" / "persona.toml").read_text().replace("Trump or", "急須 or")
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    command = ["training", "persona", str(tmp_path / "mine.toml"), "--checkpoint", str(folder)]
    monkeypatch.setattr("sys.argv", command)
    monkeypatch.setattr("sys.stdout", terminal)
    assert main() == 0
    terminal.flush()
    terminal.seek(0)
    assert "\\u6025\\u9808 or Computer Dump?" in terminal.read()


def test_evaluate_scores_any_file_of_texts(scratch_run: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("The teapot praises the kettle!\n\nAnd the ladder.\n")
    before = (scratch_run / "checkpoint" / "metrics.json").read_bytes()
    done = verb(
        "evaluate", "--checkpoint", scratch_run / "checkpoint",
        "--data", tmp_path / "texts.txt", "--dry-run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"texts\.txt +checkpoint +2 +\d\.\d{4}", done.stdout)
    assert (scratch_run / "checkpoint" / "metrics.json").read_bytes() == before


def test_a_decoder_folder_is_fine_tuned_whole(
    scratch_run: Path, prepared: Path, tmp_path: Path
) -> None:
    done = verb(
        "finetune", "--recipe", "gpt2", "--base", scratch_run / "checkpoint", "--data", prepared,
        "--out", tmp_path / "run", "--max-steps", 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # The recipe warms up for 100 steps, in the second of which hardly anything would change.
    assert "Warm-up is cut from 100 steps to 0: the run makes 2." in done.stdout
    assert "Optimizer steps: 2. In so few, little is learnt" in done.stdout
    before = load_file(scratch_run / "checkpoint" / "model.safetensors")
    after = load_file(tmp_path / "run" / "checkpoint" / "model.safetensors")
    assert before.keys() == after.keys()
    assert not torch.equal(before["transformer.wte.weight"], after["transformer.wte.weight"])


def test_a_run_that_changes_nothing_writes_nothing(
    scratch_run: Path, prepared: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "still.toml"
    recipe.write_text('method = "full"\nbase = "x"\nlearning_rate = 1e-30\nepochs = 1\n')
    done = verb(
        "finetune", "--recipe", recipe, "--base", scratch_run / "checkpoint", "--data", prepared,
        "--out", tmp_path / "run", "--max-steps", 1,
    )  # fmt: skip
    assert done.returncode == 1
    assert (
        "At step 1 every weight is as it was before the run: no checkpoint is written"
        in done.stderr
    )
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_an_adapter_is_merged(scratch_run: Path, prepared: Path, tmp_path: Path) -> None:
    done = verb(
        "finetune", "--recipe", "gpt2", "--lora", 2, "--base", scratch_run / "checkpoint",
        "--data", prepared, "--out", tmp_path / "run", "--tokens", 9_000,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    recipe = json.loads((tmp_path / "run" / "checkpoint" / "metrics.json").read_text())["recipe"]
    assert recipe["lora"]["rank"] == 2
    assert recipe["learning_rate"] == pytest.approx(1e-3)
    merged = load_file(tmp_path / "run" / "checkpoint" / "model.safetensors")
    before = load_file(scratch_run / "checkpoint" / "model.safetensors")
    assert merged.keys() == before.keys()
    name = "transformer.h.0.attn.c_attn.weight"
    assert not torch.equal(before[name], merged[name])


def stopped(arguments: list[object], number: signal.Signals) -> int:
    """Runs a verb, sends the signal at its first step, and returns the step it stopped at."""
    with forked(run_verb, *arguments) as process:
        printed = [process.output.readline()]
        while not printed[-1].startswith("step"):
            assert printed[-1] or process.poll() is None, "".join(printed)[-2_000:]
            printed.append(process.output.readline())
        process.send_signal(number)
        code, rest = process.finish()
    assert code == 128 + number, rest
    step = re.search(r"Stopped at step (\d+); go on with --resume", rest)
    assert step is not None, rest
    return int(step[1])


def test_a_terminated_run_goes_on_where_it_was(
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    arguments = ["finetune", "--recipe", "scratch", "--data", prepared, "--out", out]
    step = stopped([*arguments, "--max-steps", 4_000], signal.SIGTERM)
    monkeypatch.setattr("sys.argv", ["training", *map(str, arguments)])
    assert main() == 1
    assert "holds an earlier run: add --resume" in capsys.readouterr().err
    done = verb(*arguments, "--max-steps", step + 2, "--resume")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "checkpoint" / "metrics.json").read_text())
    assert metrics["training"]["steps"] == step + 2


def test_ctrl_c_saves_the_state(prepared: Path, tmp_path: Path) -> None:
    arguments = ["finetune", "--recipe", "scratch", "--data", prepared, "--out", tmp_path]
    step = stopped([*arguments, "--max-steps", 4_000], signal.SIGINT)
    assert (tmp_path / "states" / f"checkpoint-{step}" / "trainer_state.json").is_file()
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "none"], "There is no recipe 'none'; there are embedded, full, gpt2, "),
        (["--recipe", "gpt2", "--base", "a/b"], "cannot be reached. --base packaged trains"),
        (["--recipe", "gpt2", "--base", "/no/such"], "The base '/no/such' could not be loaded"),
        (["--recipe", "scratch", "--base", "x"], "--base does not fit"),
        (["--recipe", "scratch", "--lora", "2"], "--lora does not fit"),
        (["--recipe", "scratch", "--resume"], "no saved state"),
        (["--recipe", "scratch", "--minutes", "1", "--evaluations", "2"], "--evaluations needs"),
        (["--recipe", "scratch", "--data", "/no/such/folder"], "python -m training prepare"),
        (["--recipe", "full"], "finetune: ENGINE is 'teapot'; it must be auto, "),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_said_in_one_sentence(
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    command = ["training", "finetune", "--data", str(prepared), "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", [*command, *arguments])
    # Read where the packaged base is looked for.
    monkeypatch.setenv("ENGINE", "teapot")
    assert main() == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["finetune", "--recipe", "scratch", "--tokens", "9", "--max-steps", "2"],
        ["compare", "full", "lora"],
        ["compare", "full", "--tokens", "1000", "--minutes", "1"],
    ],
)
def test_a_run_has_one_length(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr("sys.argv", ["training", *arguments])
    assert main() == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["finetune", "--minutes", "-1"],
        ["finetune", "--minutes", "0"],
        ["finetune", "--minutes", "nan"],
        ["finetune", "--minutes", "inf"],
        ["finetune", "--tokens", "-5"],
        ["finetune", "--max-steps", "0"],
        ["finetune", "--max-steps", "1000001"],
        ["finetune", "--evaluations", "0"],
        ["finetune", "--lora", "0"],
        ["compare", "full", "--minutes", "-1"],
        ["decoding", "--samples", "0"],
        ["judges", "--samples", "-1"],
        ["evaluate", "--samples", "-1"],
        ["prepare", "archive.csv", "--seed", "-1"],
        ["deploy", "--timeout-minutes", "0"],
    ],
    ids=" ".join,
)
def test_a_number_beyond_its_limit_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    if arguments[0] in ("finetune", "deploy"):
        arguments = [*arguments, *REQUIRED[arguments[0]]]
    monkeypatch.setattr("sys.argv", ["training", *arguments])
    assert main() == 2
    said = capsys.readouterr().err
    assert "Invalid value for" in said
    assert "should be greater than or equal to" in said or "should be less than" in said


@pytest.mark.parametrize(
    ("options", "lacks"),
    # Where nothing is to be recorded, any model may be measured.
    [([], "metrics.json"), (["--dry-run", "--no-baselines"], "config.json")],
)
def test_a_checkpoint_that_is_none_is_not_evaluated(
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    lacks: str,
) -> None:
    command = ["training", "evaluate", "--checkpoint", str(tmp_path), "--data", str(prepared)]
    command += options
    monkeypatch.setattr("sys.argv", [*command, "--no-baselines"])
    assert main() == 1
    assert f"{tmp_path.name} has no {lacks}" in capsys.readouterr().err

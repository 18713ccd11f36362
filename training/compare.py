"""`compare`: recipes side by side, from one base, on the same tweets and budget.

Every recipe is trained by `finetune` in a process of its own. The same command continues a
comparison that was interrupted.
"""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from demo.checkpoints.cache import scratch_folder
from demo.checkpoints.files import METRICS
from demo.checkpoints.resolve import RUNS_FOLDER
from training import TrainingError, limits
from training.bits_per_byte import Score, measure_gap, score_texts, summarise
from training.checkpoints import has_states, record
from training.command_line import number
from training.files import (
    print_persona,
    read_json,
    read_metrics,
    require_writable,
    resolve_folder,
    rounded,
    write_json,
)
from training.plot import draw_curves
from training.prepare import read_texts
from training.recipe import Recipe, read_recipe
from training.sampling import load_fp32

EVALUATIONS = 6
# A run ends with a whole step: at so many of them, budgets differ by a twentieth at most.
MIN_STEPS = 20


@dataclass(frozen=True)
class Run:
    """One recipe's run; `recipe` is its name or file, `folder` is for its states and checkpoint."""

    recipe: str
    folder: Path
    data: Path
    base: str | None
    tokens: int | None
    minutes: float | None

    @property
    def name(self) -> str:
        return Path(self.recipe).stem

    @property
    def checkpoint(self) -> Path:
        return self.folder / RUNS_FOLDER


def compare(
    recipes: Annotated[list[str], typer.Argument(help="names or .toml files; the first is ours")],
    base: Annotated[
        str | None, typer.Option(help="a decoder's folder, GGUF file or Hub id, or packaged")
    ] = None,
    data: Annotated[Path, typer.Option(help="what prepare wrote")] = Path("data"),
    out: Annotated[Path, typer.Option(help="for runs and table")] = Path("runs/compare"),
    tokens: Annotated[int | None, number("that each recipe is trained on", *limits.TOKENS)] = None,
    minutes: Annotated[float | None, number("that each recipe trains", *limits.MINUTES)] = None,
    record_in: Annotated[
        Path | None,
        typer.Option("--record", help="a checkpoint folder whose card shows the comparison"),
    ] = None,
) -> None:
    if (tokens is None) == (minutes is None):
        raise typer.BadParameter("give either --tokens or --minutes.")
    runs = [Run(one, out / Path(one).stem, data, base, tokens, minutes) for one in recipes]
    if len({run.name for run in runs}) < len(runs):
        raise TrainingError("Two of the recipes have the same name.")
    if tokens is not None:
        require_equal_budgets({run.name: read_recipe(run.recipe) for run in runs}, tokens)
    terms = {run.name: _terms(run) for run in runs}
    test = read_texts(data, "test")
    print_persona(data)
    require_writable(out)
    if record_in is not None:
        read_metrics(record_in)
    for run in runs:
        _claim_folder(run, terms[run.name])
    curves, scores = {}, {}
    for run in runs:
        _train(run)
        curves[run.name] = read_json(run.checkpoint / METRICS)["curve"]
        # The merged weights are not kept: half a gigabyte a recipe.
        with scratch_folder(run.folder) as cache:
            model, tokenizer = load_fp32(resolve_folder(run.checkpoint, cache))
            scores[run.name] = score_texts(test, model, tokenizer, "scoring")
    result = {
        "base": base or "each recipe's own",
        "budget": f"{minutes:g} minutes" if tokens is None else f"{tokens:,} tokens",
        "runs": _figures(curves, scores),
    }
    write_json(out / "compare.json", result)
    table = render(result)
    (out / "compare.md").write_text(f"{table}\n", encoding="utf-8")
    draw_curves(curves, out / "compare.png")
    print(table)
    if record_in is not None:
        record(record_in, {**read_metrics(record_in), "comparison": result})


def require_equal_budgets(recipes: Mapping[str, Recipe], tokens: int) -> None:
    """Raises TrainingError if a recipe's steps are so large that it would see more tokens."""
    steps = {name: recipe.batch_size * recipe.block_size for name, recipe in recipes.items()}
    largest = max(steps, key=lambda name: steps[name])
    if tokens < MIN_STEPS * steps[largest]:
        raise TrainingError(
            f"--tokens {tokens:,} is too few to give the recipes equal shares: a step of {largest} "
            f"is {steps[largest]:,} tokens. Give at least {MIN_STEPS * steps[largest]:,}."
        )


def _terms(run: Run) -> dict[str, Any]:
    """All that decides what a run learns, but for the code."""
    report = read_json(run.data / "report.json")
    return {
        "recipe": read_recipe(run.recipe).model_dump(mode="json"),
        "base": run.base,
        "tokens": run.tokens,
        "minutes": run.minutes,
        "train_sha256": report["splits"]["train"]["texts_sha256"],
    }


def _claim_folder(run: Run, terms: Mapping[str, Any]) -> None:
    """Writes the terms into the run's folder. Raises TrainingError if a run on other terms, or on
    unknown ones, is there."""
    path = run.folder / "terms.json"
    found = read_json(path) if path.is_file() else {}
    if found != terms and (run.checkpoint.exists() or has_states(run.folder / "states")):
        changed = ", ".join(name for name in terms if found.get(name) != terms[name])
        raise TrainingError(
            f"{run.folder} holds a run of a comparison on other terms ({changed}): "
            "give another --out."
        )
    run.folder.mkdir(exist_ok=True)
    write_json(path, terms)


def _train(run: Run) -> None:
    """Trains the checkpoint of a run unless it is there.

    Raises:
        TrainingError: training failed.
        KeyboardInterrupt: it was stopped by Ctrl-C.
    """
    if (run.checkpoint / "SHA256SUMS").is_file():
        print(f"{run.name} is trained already.", flush=True)
        return
    command = [sys.executable, "-m", "training", "finetune", "--recipe", run.recipe]
    command += ["--data", str(run.data), "--out", str(run.folder)]
    if run.base:
        command += ["--base", run.base]
    if run.tokens is not None:
        command += ["--tokens", str(run.tokens), "--evaluations", str(EVALUATIONS)]
    else:
        command += ["--minutes", str(run.minutes)]
    command += ["--resume"] if has_states(run.folder / "states") else []
    print(f"\n{run.name}:", flush=True)
    # Ctrl-C reaches finetune too, which then saves its state: wait for that.
    handler = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        code = subprocess.run(command).returncode
    finally:
        signal.signal(signal.SIGINT, handler)
    if code:
        message = f"{run.name} ended with code {code}; the same command continues it."
        if code == 128 + signal.SIGINT:
            print(message)
            raise KeyboardInterrupt
        raise TrainingError(message)


def _figures(
    curves: Mapping[str, list[dict[str, float]]], scores: Mapping[str, Sequence[Score]]
) -> dict[str, Any]:
    """By recipe: its curve on dev, its figures on test, and how much better the first one is."""
    ours = next(iter(scores))
    return {
        name: {
            "curve": curves[name],
            "test": rounded(summarise(scores[name])),
            "ours_less_this": None
            if name == ours
            else [*rounded(measure_gap(scores[ours], scores[name])).values()],
        }
        for name in scores
    }


def render(result: Mapping[str, Any]) -> str:
    """The comparison as Markdown; what dev said along the way is in `compare.json` and drawn."""
    lines = [
        f"Base {result['base']}, {result['budget']} each. Bits per byte on test, "
        "with 95 % bootstrap intervals. The difference is paired, ours less this: below 0, ours "
        "is better.",
        "",
        "| recipe | tokens | minutes | dev at the end | test | 95 % | difference | 95 % |",
        "|---|---:|---:|---:|---:|---|---:|---|",
    ]
    for name, one in result["runs"].items():
        last, test, less = one["curve"][-1], one["test"], one["ours_less_this"]
        lines.append(
            f"| {name} | {last['tokens']:,} | {last['seconds'] / 60:.0f} "
            f"| {last['bits_per_byte']:.4f} "
            f"| **{test['bits_per_byte']:.4f}** | {test['low']:.4f} to {test['high']:.4f} "
            + (f"| {less[0]:+.4f} | {less[1]:+.4f} to {less[2]:+.4f} |" if less else "| | |")
        )
    return "\n".join(lines)

"""`compare`: recipes side by side, from one base, on the same tweets and budget.

Knows the command line of `finetune` and bits per byte; must not know how a recipe trains. Every
recipe runs as a process of its own; a comparison that was interrupted goes on where it was.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.checkpoints.files import PLOT
from training.bits_per_byte import Figure, Score, measure_gap, score_texts, summarise
from training.checkpoints import record
from training.curves import draw_comparison
from training.errors import TrainingError
from training.files import read_metrics, require_writable, write_json
from training.prepare import read_texts
from training.recipe import read_recipe
from training.sampling import load_fp32, resolve_folder
from training.states import has_states

ORDER = "order.json"
EVALUATIONS = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    parser.add_argument("recipes", nargs="+", help="names or .toml files; the first is ours")
    parser.add_argument("--base", help="a decoder's folder, GGUF file or Hub id, or packaged")
    parser.add_argument("--data", type=Path, default=Path("data"), help="what prepare wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/compare"), help="for runs and table")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--tokens", type=int, help="that each recipe is trained on")
    budget.add_argument("--minutes", type=float, help="that each recipe trains")
    parser.add_argument(
        "--record", type=Path, help="a checkpoint folder whose card shows the comparison"
    )


@dataclass(frozen=True)
class Outcome:
    """One recipe: its `curve` on dev while it trained, and the scores of the test texts."""

    name: str
    curve: Sequence[Mapping[str, float]]
    scores: Sequence[Score]

    @property
    def figure(self) -> Figure:
        """Of the test texts."""
        return summarise(self.scores)


def run(arguments: argparse.Namespace) -> int:
    """Trains, scores, prints and writes compare.json, compare.md and compare.png."""
    out: Path = arguments.out
    names = {Path(recipe).stem: recipe for recipe in arguments.recipes}
    if len(names) < len(arguments.recipes):
        raise TrainingError("Two of the recipes have the same name.")
    for recipe in arguments.recipes:
        read_recipe(recipe)
    test = read_texts(arguments.data, "test")
    require_writable(out)
    if arguments.record is not None:
        read_metrics(arguments.record)
    _require_same_order(out, arguments)
    outcomes = []
    for name, recipe in names.items():
        checkpoint = _trained(out / name, recipe, arguments)
        metrics = json.loads((checkpoint / "metrics.json").read_text(encoding="utf-8"))
        outcomes.append(Outcome(name, metrics["curve"], _scored(checkpoint, test)))
    result = _result(outcomes, arguments)
    write_json(out / "compare.json", result)
    table = render(result)
    (out / "compare.md").write_text(f"{table}\n", encoding="utf-8")
    draw_comparison({o.name: o.curve for o in outcomes}, out / "compare.png")
    print(table)
    if arguments.record is not None:
        _record(arguments.record, result, out / "compare.png")
    return 0


def _require_same_order(out: Path, arguments: argparse.Namespace) -> None:
    """Runs that lie there already must have been made on the same terms."""
    report = json.loads((arguments.data / "report.json").read_text(encoding="utf-8"))
    order = {
        "base": arguments.base,
        "tokens": arguments.tokens,
        "minutes": arguments.minutes,
        "train_sha256": report["splits"]["train"]["texts_sha256"],
    }
    path = out / ORDER
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != order:
        raise TrainingError(f"{out} holds a comparison on other terms: give another --out.")
    write_json(path, order)


def _trained(folder: Path, recipe: str, arguments: argparse.Namespace) -> Path:
    """The checkpoint of a recipe, trained now unless it is there.

    Raises:
        TrainingError: training failed or was stopped.
    """
    checkpoint = folder / "checkpoint"
    if (checkpoint / "SHA256SUMS").is_file():
        print(f"{folder.name} is trained already.", flush=True)
        return checkpoint
    command = [sys.executable, "-m", "training", "finetune", "--recipe", recipe]
    command += ["--data", str(arguments.data), "--out", str(folder)]
    if arguments.tokens is not None:
        command += ["--tokens", str(arguments.tokens), "--evaluations", str(EVALUATIONS)]
    else:
        command += ["--minutes", str(arguments.minutes)]
    if arguments.base:
        command += ["--base", arguments.base]
    if arguments.tokens is not None and has_states(folder / "states"):
        command.append("--resume")
    print(f"\n{folder.name}:", flush=True)
    done = subprocess.run(command)
    if done.returncode:
        raise TrainingError(
            f"{folder.name} ended with code {done.returncode}; the same command goes on from there."
        )
    return checkpoint


def _scored(checkpoint: Path, texts: list[str]) -> list[Score]:
    # What is merged for it is not kept: half a gigabyte a recipe.
    with tempfile.TemporaryDirectory(dir=checkpoint.parent) as scratch:
        model, tokenizer = load_fp32(resolve_folder(checkpoint, Path(scratch)))
        return score_texts(texts, model, tokenizer, "scoring")


def _result(outcomes: Sequence[Outcome], arguments: argparse.Namespace) -> dict[str, Any]:
    ours = outcomes[0]
    return {
        "base": arguments.base or "each recipe's own",
        "budget": f"{arguments.tokens:,} tokens"
        if arguments.tokens
        else f"{arguments.minutes:g} minutes",
        "runs": {
            outcome.name: {
                "curve": list(outcome.curve),
                "test": outcome.figure.as_dict(),
                "ours_less_this": None
                if outcome is ours
                else [round(value, 4) for value in measure_gap(ours.scores, outcome.scores)],
            }
            for outcome in outcomes
        },
    }


def render(result: Mapping[str, Any]) -> str:
    """The comparison as Markdown: final figures, then bits per byte on dev along the way."""
    lines = [
        f"Base {result['base']}, {result['budget']} each. Bits per byte on test, "
        "with 95 % bootstrap intervals. The difference is paired, ours less this: below 0, ours "
        "is better.",
        "",
        "| recipe | minutes | dev at the end | test | 95 % | difference | 95 % |",
        "|---|---:|---:|---:|---|---:|---|",
    ]
    for name, one in result["runs"].items():
        last, test, less = one["curve"][-1], one["test"], one["ours_less_this"]
        lines.append(
            f"| {name} | {last['seconds'] / 60:.0f} | {last['bits_per_byte']:.4f} "
            f"| **{test['bits_per_byte']:.4f}** | {test['low']:.4f} to {test['high']:.4f} "
            + (f"| {less[0]:+.4f} | {less[1]:+.4f} to {less[2]:+.4f} |" if less else "| | |")
        )
    lines += ["", "On dev, by tokens seen (thousands) and minutes of training:", ""]
    lines += ["| recipe | " + "tokens, minutes: bits per byte |", "|---|---|"]
    for name, one in result["runs"].items():
        points = "; ".join(
            f"{p['tokens'] / 1000:,.0f}k, {p['seconds'] / 60:.0f} min: {p['bits_per_byte']:.4f}"
            for p in one["curve"]
        )
        lines.append(f"| {name} | {points} |")
    return "\n".join(lines)


def _record(folder: Path, result: Mapping[str, Any], plot: Path) -> None:
    metrics = read_metrics(folder)
    metrics["comparison"] = result
    shutil.copyfile(plot, folder / PLOT)
    record(folder, metrics)

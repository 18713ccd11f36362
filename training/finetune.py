"""`finetune`: prepared tweets become a checkpoint, by a recipe.

Knows the order of a run; must not know archives, or how any part of it is done. The same command
under `torchrun --nproc_per_node N -m` is one run of N processes, of which the first speaks and
writes.
"""

import argparse
import contextlib
import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers

from demo.checkpoints.persona import PERSONA, persona_of
from training import working_tree
from training.checkpoints import write_checkpoint
from training.curves import draw_run
from training.documents import TokenRows
from training.errors import TrainingError
from training.files import require_writable, write_json
from training.memory import fitted
from training.models import starting_point
from training.prepare import read_texts
from training.recipe import PACKAGED_BASE, Lora, Recipe, read_recipe, recipe_names
from training.run_callbacks import StopOnSignal
from training.states import has_states, newest_whole_state, remove_newer
from training.tracking import tracking
from training.trainer import (
    METRIC,
    BitsTrainer,
    build_rows,
    build_trainer,
    is_first_process,
    precision,
    processes,
)

CHECKPOINT_SUBFOLDER = "checkpoint"
# An adapter learns best at about ten times the rate that suits all weights (Schulman et al. 2025,
# "LoRA Without Regret").
LORA_RATE = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    parser.add_argument("--recipe", required=True, help=f"{', '.join(recipe_names())}, or a .toml")
    parser.add_argument("--data", type=Path, default=Path("data"), help="what prepare wrote")
    parser.add_argument("--out", type=Path, help="the run's folder; default runs/RECIPE")
    parser.add_argument(
        "--base", help="a decoder's folder, GGUF file or Hub id, or packaged, not the recipe's"
    )
    parser.add_argument(
        "--lora",
        type=int,
        metavar="RANK",
        help="train an adapter of that rank, merged at the end, instead of all weights; "
        f"at {LORA_RATE} times the recipe's learning rate",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=float, help="instead of the recipe's")
    length.add_argument("--tokens", type=int, help="end after so many tokens instead")
    length.add_argument("--minutes", type=float, help="end after so many minutes instead")
    length.add_argument("--max-steps", type=int, default=-1, help="end after so many steps instead")
    parser.add_argument("--evaluations", type=int, help="how often dev is measured on the way")
    parser.add_argument("--resume", action="store_true", help="go on from the last saved state")
    parser.add_argument("--no-tracking", action="store_true", help="do without trackio")


def run(arguments: argparse.Namespace) -> int:
    """Trains and writes the checkpoint; 143 or 130 if a signal ended it early."""
    with _one_voice():
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    recipe = overridden(read_recipe(arguments.recipe), arguments)
    out: Path = arguments.out or Path("runs") / Path(arguments.recipe).stem
    texts = {name: read_texts(arguments.data, name) for name in ("train", "dev")}
    if not (arguments.data / PERSONA).is_file():
        print(f"{arguments.data} has no {PERSONA}: the checkpoint will not say whose it is.")
    state = _state_to_resume(out / "states", arguments.resume)
    require_writable(out)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(recipe.seed)
    start = starting_point(recipe, texts["train"])
    recipe = fitted(recipe, start.model)
    rows = build_rows(recipe, start.tokenizer, texts["train"])
    stop = StopOnSignal()
    trainer = build_trainer(
        recipe,
        start,
        rows,
        texts["dev"][: recipe.dev_texts],
        out,
        tokens=arguments.tokens,
        minutes=arguments.minutes,
        max_steps=arguments.max_steps,
        evaluations=arguments.evaluations,
        tracking=None if arguments.no_tracking else tracking(out.parent, out.name),
        callbacks=[stop],
    )
    # By now, every process has chosen: they met when the trainer was built.
    if state is not None and is_first_process():
        remove_newer(state)
    trainer.train(resume_from_checkpoint=state and str(state))
    if is_first_process():
        write_json(out / "curves.json", trainer.state.log_history)
        draw_run(trainer.state.log_history, out / "curves.png")
    if stop.signal is not None:
        print(f"Stopped at step {trainer.state.global_step}; go on with --resume.")
        return 128 + stop.signal
    if is_first_process():
        facts = _facts(recipe, trainer, rows, arguments.data)
        write_checkpoint(
            out / CHECKPOINT_SUBFOLDER,
            trainer.model,
            start,
            persona_of(arguments.data),
            facts,
            None if trainer.kept is None else trainer.kept.differences(),
        )
    print(f"The checkpoint is in {out / CHECKPOINT_SUBFOLDER}.")
    return 0


@contextlib.contextmanager
def _one_voice() -> Iterator[None]:
    """Of several processes, all but the first are silent; what fails is still said by each."""
    silenced = contextlib.nullcontext() if is_first_process() else _silent()
    with silenced:
        yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _silent() -> contextlib.redirect_stdout[io.TextIOWrapper]:
    return contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO()))


def overridden(recipe: Recipe, arguments: argparse.Namespace) -> Recipe:
    """The recipe with what the command line says instead.

    Raises:
        TrainingError: it does not go with this recipe.
    """
    if recipe.method == "scratch" and (arguments.base or arguments.lora):
        flag = "--base" if arguments.base else "--lora"
        raise TrainingError(f"{flag} does not fit a recipe that trains from scratch.")
    if arguments.minutes is not None and (arguments.resume or processes() > 1):
        raise TrainingError("--minutes is for one process that runs through: give --tokens.")
    if arguments.minutes is not None and arguments.evaluations is not None:
        raise TrainingError("--evaluations needs to know the steps ahead: give --tokens.")
    given = {"base": arguments.base, "epochs": arguments.epochs}
    changed = {name: value for name, value in given.items() if value is not None}
    if arguments.lora is not None or arguments.base not in (None, PACKAGED_BASE):
        changed["difference"] = None
    if arguments.lora is not None:
        was_full = recipe.method == "full"
        changed["method"] = "lora"
        changed["lora"] = Lora(rank=arguments.lora, alpha=arguments.lora)
        changed["learning_rate"] = recipe.learning_rate * (LORA_RATE if was_full else 1)
    return dataclasses.replace(recipe, **changed)


def _state_to_resume(states: Path, resume: bool) -> Path | None:
    """The newest whole state, if one is asked for.

    Raises:
        TrainingError: none to resume from, or one in the way of a fresh run.
    """
    if not resume:
        if has_states(states):
            raise TrainingError(
                f"{states} holds an earlier run: add --resume, or give another --out."
            )
        return None
    return newest_whole_state(states)


def _facts(recipe: Recipe, trainer: BitsTrainer, rows: TokenRows, data: Path) -> dict[str, Any]:
    state = trainer.state
    report = json.loads((data / "report.json").read_text(encoding="utf-8"))
    # They quote what was wrong in a row: a checkpoint carries no words of its archive.
    report.pop("first_bad_rows", None)
    curve = _curve(state.log_history)
    device = "cuda" if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"
    return {
        "data": report,
        "recipe": dataclasses.asdict(recipe),
        "git_revision": working_tree.revision(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "training": {
            "steps": state.global_step,
            "tokens": round(rows.tokens * (state.epoch or 0)),
            "seconds": round(curve[-1]["seconds"]),
            "processes": processes(),
            "best_dev_bits_per_byte": state.best_metric,
            "best_step": state.best_global_step,
            "precision": f"{precision()} autocast" if precision() != "float32" else "float32",
            "device": device,
        },
        "curve": curve,
    }


def _curve(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """Bits per byte on dev by tokens seen and seconds of training, zero-shot first."""
    found = {
        entry["step"]: {
            "tokens": entry["tokens"],
            "seconds": entry["seconds"],
            METRIC: round(entry[f"eval_{METRIC}"], 4),
        }
        for entry in history
        if f"eval_{METRIC}" in entry
    }
    return [found[step] for step in sorted(found)]

"""`finetune`: prepared tweets become a checkpoint, by a recipe.

The same command under `torchrun --nproc_per_node N -m` is one run of N processes, on one machine or
several, of which the first prints and writes.
"""

import contextlib
import importlib
import importlib.util
import io
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import transformers
import typer

from demo.checkpoints.resolve import RUNS_FOLDER
from training import TrainingError, limits, working_tree
from training.bits_per_byte import mean_bits_per_byte, score_texts
from training.calibration import fit_calibration
from training.callbacks import StopOnSignal
from training.card import IN_PIECES, METRIC, cautions
from training.checkpoints import (
    SealStates,
    has_states,
    newest_whole_state,
    remove_newer,
    require_disk,
    write_checkpoint,
)
from training.command_line import flag, number
from training.distillation import Teachers
from training.documents import build_rows, fit_block, tokenise
from training.files import require_writable, write_json
from training.memory import fit_to_gpu
from training.models import StartModel, load_start_model
from training.prepare import RETWEETS, read_prepared
from training.recipe import PACKAGED_BASE, Lora, Recipe, read_recipe, recipe_names
from training.terms import terms_of, weights_sha256
from training.trainer import (
    BitsTrainer,
    build_trainer,
    is_first_process,
    precision,
    processes,
)

# So many tweets of dev choose the best state.
DEV_TEXTS = 400
# With fewer others, a calibration would fit chance.
CALIBRATION_TEXTS = 100
# An adapter learns best at about ten times the rate that suits all weights (Schulman et al. 2025,
# "LoRA Without Regret").
LORA_RATE = 10
# trackio's name for all runs of this project.
TRACKIO_PROJECT = "trump-or-computer-dump"


def finetune(
    recipe: Annotated[str, typer.Option(help=f"{', '.join(recipe_names())}, or a .toml")],
    data: Annotated[Path, typer.Option(help="what prepare wrote")] = Path("data"),
    out: Annotated[Path | None, typer.Option(help="the run's folder; default runs/RECIPE")] = None,
    base: Annotated[
        str | None,
        typer.Option(help="a decoder's folder, GGUF file or Hub id, or packaged, not the recipe's"),
    ] = None,
    lora: Annotated[
        int | None,
        number(
            "train an adapter of that rank, merged at the end, instead of all weights; at "
            f"{LORA_RATE} times the recipe's learning rate",
            *limits.RANK,
            metavar="RANK",
        ),
    ] = None,
    tokens: Annotated[
        int | None, number("end after so many tokens, not the recipe's epochs", *limits.TOKENS)
    ] = None,
    minutes: Annotated[float | None, number("end after so many minutes", *limits.MINUTES)] = None,
    max_steps: Annotated[int | None, number("end after so many steps", *limits.STEPS)] = None,
    evaluations: Annotated[
        int | None, number("how often dev is measured on the way", *limits.EVALUATIONS)
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            help="learn from what a checkpoint of the same vocabulary expects, too; may be given "
            "again: what they expect is averaged",
        ),
    ] = None,
    resume: Annotated[bool, flag("resume", "go on from the last state")] = False,
    no_tracking: Annotated[bool, flag("no-tracking", "do without trackio")] = False,
) -> int:
    """Trains and writes the checkpoint. Returns 0, or 143 or 130 if a signal ended it early."""
    if sum(bound is not None for bound in (tokens, minutes, max_steps)) > 1:
        raise typer.BadParameter("give one of --tokens, --minutes and --max-steps.")
    if minutes is not None and processes() > 1:
        raise TrainingError("--minutes is for one process: give --tokens.")
    if minutes is not None and evaluations is not None:
        raise TrainingError("--evaluations needs to know the steps ahead: give --tokens.")
    with _only_first_process_prints(), _others_may_end():
        code = _run(
            override(read_recipe(recipe), base, lora),
            data,
            out or Path("runs") / Path(recipe).stem,
            teacher or [],
            resume=resume,
            is_tracked=not no_tracking,
            tokens=tokens,
            minutes=minutes,
            max_steps=max_steps,
            evaluations=evaluations,
        )
    # Only now that `_run` has freed the trainer: the last reference to a process group must not be
    # a model's, whose destructor waits for gloo's threads while it holds the GIL that they need.
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return code


def _run(
    recipe: Recipe,
    data: Path,
    out: Path,
    teachers: Sequence[Path],
    *,
    resume: bool,
    is_tracked: bool,
    **length: Any,
) -> int:
    """Trains and writes the checkpoint; `length` is for `build_trainer`."""
    names = ("train", "dev", RETWEETS) if recipe.retweets else ("train", "dev")
    prepared = read_prepared(data, names)
    print(prepared.persona, flush=True)
    states = out / "states"
    if not resume and has_states(states):
        raise TrainingError(f"{states} holds an earlier run: add --resume, or give another --out.")
    state = newest_whole_state(states) if resume else None
    require_writable(out)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(recipe.seed)
    start = load_start_model(recipe, prepared.train)
    recipe = fit_to_gpu(_fit_rows(recipe, start, prepared.train), start.model)
    before = weights_sha256(start.model)
    taught = Teachers(teachers, start.model, start.tokenizer)
    terms = terms_of(recipe, start, before, prepared, taught.sha256)
    if state is not None:
        terms.require_same(state)
    rows = build_rows(recipe, start.tokenizer, prepared.train, prepared.retweets)
    if rows.in_pieces:
        print(IN_PIECES.format(rows.in_pieces, recipe.block_size), flush=True)
    rows = taught.label(rows, out)
    dev = sample_dev(prepared.dev, recipe.seed)
    stop = StopOnSignal()
    trainer = build_trainer(
        recipe,
        start,
        rows,
        dev,
        out,
        prompts=prepared.persona.examples,
        tracking=_track(out) if is_tracked else None,
        callbacks=[SealStates(terms), stop],
        **length,
    )
    require_disk(out, trainer.model)
    # All processes met when the trainer was built, so each has chosen its state by now.
    if is_first_process():
        remove_newer(states, state)
    trainer.train_from(state)
    if is_first_process():
        write_json(out / "curves.json", trainer.state.log_history)
    if stop.signal is not None:
        print(f"Stopped at step {trainer.state.global_step}; go on with --resume.")
        return 128 + stop.signal
    model = trainer.whole_model()
    if is_first_process():
        if recipe.lora is not None:
            model = model.merge_and_unload()
        with trainer.as_published():
            after = weights_sha256(model)
        changed = sum(after[name] != sha256 for name, sha256 in before.items())
        if not changed:
            raise TrainingError(
                f"At step {trainer.state.global_step:,} every weight is as it was before the run: "
                "no checkpoint is written. Give the run more tokens, steps or epochs."
            )
        metrics = _metrics(recipe, trainer, prepared.report)
        metrics["training"] |= {
            "tensors": len(before), "tensors_changed": changed, "teachers": taught.sha256,
        }  # fmt: skip
        if recipe.calibrate:
            choosing = set(dev)
            others = [text for text in prepared.dev if text not in choosing]
            metrics["training"] |= _calibrate(trainer, start, others, dev, recipe.block_size)
        for caution in cautions(metrics):
            print(caution)
        write_checkpoint(
            out / RUNS_FOLDER,
            model,
            start.tokenizer,
            prepared.persona,
            metrics,
            None if trainer.deltas is None else trainer.deltas.deltas(),
        )
    print(f"The checkpoint is in {out / RUNS_FOLDER}.")
    return 0


@contextlib.contextmanager
def _only_first_process_prints() -> Iterator[None]:
    """Inside, the stdout of the other processes is dropped; all may still report errors."""
    if is_first_process():
        yield
    else:
        with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())):
            yield


@contextlib.contextmanager
def _others_may_end() -> Iterator[None]:
    """Inside, a run whose processes cannot reach one another ends with a TrainingError that says
    what to do."""
    try:
        yield
    except RuntimeError as error:
        # gloo's errors have no type of their own.
        if not isinstance(error, torch.distributed.DistError) and "gloo" not in str(error):
            raise
        raise TrainingError(
            "The processes of this run do not reach one another: one of them ended or hangs, or "
            "they never met. End those that are left, and go on from the last state with --resume. "
            "If machines never meet, name the interface between them: GLOO_SOCKET_IFNAME=eth0, and "
            f"NCCL_SOCKET_IFNAME for GPUs. ({str(error).splitlines()[0]})"
        ) from error


def override(recipe: Recipe, base: str | None = None, lora: int | None = None) -> Recipe:
    """The recipe with what the command line says instead. Raises TrainingError if it does not go
    with this recipe."""
    if recipe.method == "scratch" and (base or lora):
        flag = "--base" if base else "--lora"
        raise TrainingError(f"{flag} does not fit a recipe that trains from scratch.")
    changed: dict[str, Any] = {} if base is None else {"base": base}
    if lora is not None or base not in (None, PACKAGED_BASE):
        changed |= {"difference": None, "calibrate": False}
    if lora is not None:
        factor = LORA_RATE if recipe.method == "full" else 1
        changed |= {
            "method": "lora",
            "lora": Lora(rank=lora, alpha=lora),
            "learning_rate": recipe.learning_rate * factor,
        }
    return recipe.changed(**changed)


def sample_dev(texts: Sequence[str], seed: int) -> list[str]:
    """The tweets that choose the best state, drawn from all of dev: its first are its oldest, which
    are shorter than later ones."""
    return random.Random(seed).sample(texts, min(DEV_TEXTS, len(texts)))


def _fit_rows(recipe: Recipe, start: StartModel, texts: Sequence[str]) -> Recipe:
    """The recipe with rows that suit the lengths of the tweets; prints what that changes."""
    lengths = [len(document.ids) for document in tokenise(texts, start.tokenizer)]
    context = int(start.model.config.max_position_embeddings)
    found = fit_block(recipe, lengths, context, processes())
    if found != recipe:
        print(
            f"Rows have {found.block_size:,} tokens and a step {found.batch_size:,} of them, not "
            f"{recipe.batch_size:,} of {recipe.block_size:,}: the longest tweet has "
            f"{max(lengths):,} tokens, and the model takes {context:,}.",
            flush=True,
        )
    return found


def _track(out: Path) -> dict[str, Any]:
    """Arguments of TrainingArguments by which trackio, if it is installed, writes the run's figures
    into a local database beside the runs, or in TRACKIO_DIR. Nothing leaves the machine."""
    if importlib.util.find_spec("trackio") is None:
        return {"report_to": "none"}
    folder = os.environ.setdefault("TRACKIO_DIR", str(out.parent / "trackio"))
    print(f"Tracked in {folder}; to look: TRACKIO_DIR={folder} trackio show", flush=True)
    for name in ("trackio", "trackio.run", "trackio.utils"):
        # It prints that it uploads, though it does not, and how to look without that folder.
        vars(importlib.import_module(name))["print"] = lambda *_, **__: None
    return {"report_to": "trackio", "project": TRACKIO_PROJECT, "run_name": out.name}


def _metrics(recipe: Recipe, trainer: BitsTrainer, report: dict[str, Any]) -> dict[str, Any]:
    """What `metrics.json` says of the run; `evaluate` and others add to it."""
    state = trainer.state
    # These quote rows; a checkpoint contains no words of its archive.
    data = {name: value for name, value in report.items() if name != "first_bad_rows"}
    curve = _dev_curve(state.log_history)
    rows: Any = trainer.train_dataset
    device = "cuda" if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"
    return {
        "data": data,
        "recipe": recipe.model_dump(mode="json"),
        "git_revision": working_tree.revision(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "training": {
            "steps": state.global_step,
            "epochs": round(state.epoch or 0, 2),
            "warmup_steps": trainer.args.warmup_steps,
            "tokens": round(rows.tokens * (state.epoch or 0)),
            "seconds": round(curve[-1]["seconds"]),
            "processes": processes(),
            "in_pieces": rows.in_pieces,
            "best_dev_bits_per_byte": state.best_metric,
            "best_step": state.best_global_step,
            "precision": f"{precision()} autocast" if precision() != "float32" else "float32",
            "device": device,
        },
        "curve": curve,
    }


def _calibrate(
    trainer: BitsTrainer,
    start: StartModel,
    texts: Sequence[str],
    dev: Sequence[str],
    block_size: int,
) -> dict[str, Any]:
    """Calibrates the model on the texts, if that makes it better on dev; returns what
    `metrics.json` says of it."""
    model, deltas, before = start.model, trainer.deltas, trainer.state.best_metric
    assert deltas is not None
    assert before is not None
    if len(texts) < CALIBRATION_TEXTS:
        print(
            f"Not calibrated: dev has {len(texts):,} tweets beside those that choose the best "
            f"state; {CALIBRATION_TEXTS} are needed."
        )
        return {}
    model.eval()
    exact = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    with trainer.as_published():
        found = fit_calibration(texts, model, start.tokenizer, deltas.base, block_size)
    found.write(model, deltas.base)
    with trainer.as_published():
        bits = mean_bits_per_byte(score_texts(dev, model, start.tokenizer))
    if bits >= before:
        print(f"Not calibrated: bits per byte on dev would be {bits:.4f}, and are {before:.4f}.")
        model.load_state_dict(exact, strict=False)
        return {}
    factors = torch.stack(list(found.factors.values()))
    told = {
        "texts": len(texts),
        "temperature": round(found.temperature.item(), 3),
        "least_factor": round(factors.min().item(), 3),
        "greatest_factor": round(factors.max().item(), 3),
    }
    print(
        f"Calibrated on {len(texts):,} tweets of dev: differences times {told['least_factor']} to "
        f"{told['greatest_factor']}, logits divided by {told['temperature']}. Bits per byte on the "
        f"rest of dev: {before:.4f} before, {bits:.4f} after.",
        flush=True,
    )
    return {"calibration": told, "best_dev_bits_per_byte": bits}


def _dev_curve(history: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Bits per byte on dev by tokens seen and seconds of training; the first is before training."""
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

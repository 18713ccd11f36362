"""`finetune`: prepared tweets become a checkpoint, by a recipe.

Knows recipes, Trainer and what a checkpoint folder holds; must not know archives or figures
other than the loss.
"""

import argparse
import dataclasses
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import matplotlib
import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from demo.generation.base import SMOLLM2_135M_INSTRUCT
from demo.generation.checksums import write_checksums
from demo.generation.request import FIELDS
from training.card import write_card
from training.compiled_layers import compile_layers
from training.documents import PackedRows, collate, tokenise
from training.errors import TrainingError
from training.files import require_writable, write_json
from training.models import Starting, starting_point
from training.prepare import read_texts
from training.recipe import Recipe, read_recipe, recipe_names
from training.run_callbacks import Progress, Samples, StopOnSignal
from training.scored_loss import score_in_pieces

CHECKPOINT_SUBFOLDER = "checkpoint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    parser.add_argument("--recipe", required=True, help=f"{', '.join(recipe_names())}, or a .toml")
    parser.add_argument("--data", type=Path, default=Path("data"), help="what prepare wrote")
    parser.add_argument("--out", type=Path, help="the run's folder; default runs/RECIPE")
    parser.add_argument("--base", help="a decoder's folder or Hub id, instead of the recipe's")
    parser.add_argument("--epochs", type=float, help="instead of the recipe's")
    parser.add_argument("--max-steps", type=int, default=-1, help="stop after so many steps")
    parser.add_argument("--resume", action="store_true", help="go on from the last saved state")


def run(arguments: argparse.Namespace) -> int:
    """Trains and writes the checkpoint; 143 or 130 if a signal ended it early."""
    recipe = _overridden(read_recipe(arguments.recipe), arguments)
    out: Path = arguments.out or Path("runs") / Path(arguments.recipe).stem
    texts = {name: read_texts(arguments.data, name) for name in ("train", "dev")}
    resume_from = _resumable(out, arguments.resume)
    require_writable(out)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(recipe.seed)
    start = starting_point(recipe, texts["train"])
    rows = pack_rows(recipe, start.tokenizer, texts)
    stop = StopOnSignal()
    trainer = build_trainer(recipe, start, rows, out, arguments.max_steps, [stop])
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=resume_from)
    _write_curves(trainer.state.log_history, out)
    if stop.signal is not None:
        print(f"Stopped at step {trainer.state.global_step}; go on with --resume.")
        return 128 + stop.signal
    facts = _facts(recipe, trainer, rows, time.monotonic() - started, arguments.data)
    write_checkpoint(out / CHECKPOINT_SUBFOLDER, trainer.model, start, facts)
    print(f"The checkpoint is in {out / CHECKPOINT_SUBFOLDER}.")
    return 0


def _overridden(recipe: Recipe, arguments: argparse.Namespace) -> Recipe:
    given = {"base": arguments.base, "epochs": arguments.epochs}
    if arguments.base and recipe.method == "scratch":
        raise TrainingError("--base does not fit a recipe that trains from scratch.")
    return dataclasses.replace(recipe, **{k: v for k, v in given.items() if v is not None})


def _resumable(out: Path, resume: bool) -> str | None:
    """The last saved state, if one is asked for.

    Raises:
        TrainingError: none to resume from, or one in the way of a fresh run.
    """
    states = out / "states"
    last = get_last_checkpoint(str(states)) if states.is_dir() else None
    if resume and last is None:
        raise TrainingError(f"There is no saved state in {states} to resume from.")
    if not resume and last is not None:
        raise TrainingError(f"{states} holds an earlier run: add --resume, or give another --out.")
    return last


def pack_rows(
    recipe: Recipe, tokenizer: PreTrainedTokenizerBase, texts: dict[str, list[str]]
) -> dict[str, PackedRows]:
    """The texts of the splits "train" and "dev" as the rows that a run is made on."""
    used = {"train": texts["train"], "dev": texts["dev"][: recipe.dev_texts]}
    mark = tokenizer.eos_token_id
    return {
        name: PackedRows(tokenise(members, tokenizer, recipe.block_size), recipe.block_size, mark)
        for name, members in used.items()
    }


def build_trainer(
    recipe: Recipe,
    start: Starting,
    rows: dict[str, PackedRows],
    out: Path,
    max_steps: int,
    callbacks: list[TrainerCallback],
) -> Trainer:
    """All of a run but its start; `max_steps` is -1 for the recipe's epochs."""
    model = start.model
    # With a cache, attention would cross from one packed tweet into the next.
    model.config.use_cache = False
    if recipe.lora is not None:
        model = get_peft_model(model, _lora_config(recipe))
        score_in_pieces(start.model)
    if recipe.compile_layers and not torch.cuda.is_available():
        _compile(start.model)
    tokens_per_row = rows["train"].tokens / len(rows["train"])
    per_step = recipe.batch_size * recipe.gradient_accumulation * tokens_per_row
    trainer = Trainer(
        model=model,
        args=_arguments(recipe, out, max_steps),
        train_dataset=rows["train"],
        eval_dataset=rows["dev"],
        data_collator=collate,
        callbacks=[
            Progress(per_step),
            Samples(start.tokenizer, recipe.sample_every, out / "samples.jsonl"),
            *callbacks,
        ],
    )
    # Trainer's own printer repeats as a raw dict what Progress says in a line.
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def _compile(model: Any) -> None:
    # On a CPU, PyTorch's fused attention is slow to differentiate in bfloat16, and closed to
    # the compiler.
    model.set_attn_implementation("eager")
    if not compile_layers(model):
        print("Nothing can be compiled here, so training takes longer: install g++.", flush=True)


def _lora_config(recipe: Recipe) -> LoraConfig:
    assert recipe.lora is not None
    return LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _arguments(recipe: Recipe, out: Path, max_steps: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(out / "states"),
        num_train_epochs=recipe.epochs,
        max_steps=max_steps,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        activation_checkpointing=recipe.activation_checkpointing,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.scheduler,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        adam_epsilon=recipe.adam_epsilon,
        max_grad_norm=recipe.max_gradient_norm,
        bf16=has_fast_bfloat16(),
        use_cpu=not torch.cuda.is_available(),
        logging_steps=recipe.log_every,
        eval_strategy="steps",
        eval_steps=recipe.evaluate_every,
        save_strategy="steps",
        save_steps=recipe.evaluate_every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        prediction_loss_only=True,
        seed=recipe.seed,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def has_fast_bfloat16() -> bool:
    """True where bfloat16 is done in hardware; elsewhere autocast to it is slower than fp32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def write_checkpoint(folder: Path, model: Any, start: Starting, facts: dict[str, Any]) -> None:
    """Writes the checkpoint folder: weights, config, tokenizer, decoding defaults, facts, sums.

    An adapter over the packaged base is kept apart, in bfloat16, with a `base.json`; one over
    any other base is merged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    is_adapter = start.recipe.method == "lora"
    if is_adapter and start.is_packaged:
        # The base's name, not where it lay on the machine that trained.
        model.peft_config["default"].base_model_name_or_path = SMOLLM2_135M_INSTRUCT.file_name
        # Half the size; what it rounds away is measured by evaluate, which reads these files.
        model.to(torch.bfloat16).save_pretrained(folder)
        SMOLLM2_135M_INSTRUCT.write(folder / "base.json")
    else:
        whole = model.merge_and_unload() if is_adapter else model
        whole.config.use_cache = True
        whole.save_pretrained(folder)
        start.tokenizer.save_pretrained(folder)
    _generation_config(start.tokenizer).save_pretrained(folder)
    write_json(folder / "metrics.json", facts)
    write_card(folder)
    write_checksums(folder)


def _generation_config(tokenizer: PreTrainedTokenizerBase) -> transformers.GenerationConfig:
    """Decoding defaults with which a plain pipeline("text-generation") just works."""
    mark = tokenizer.eos_token_id
    return transformers.GenerationConfig(
        do_sample=True,
        max_new_tokens=int(FIELDS["max_new_tokens"].default or 0),
        temperature=FIELDS["temperature"].default,
        top_p=FIELDS["top_p"].default,
        top_k=0,
        bos_token_id=mark,
        eos_token_id=mark,
        pad_token_id=mark,
    )


def _facts(
    recipe: Recipe, trainer: Trainer, rows: dict[str, PackedRows], seconds: float, data: Path
) -> dict[str, Any]:
    state = trainer.state
    report = json.loads((data / "report.json").read_text(encoding="utf-8"))
    # They quote what was wrong in a row: a checkpoint carries no words of its archive.
    report.pop("first_bad_rows", None)
    return {
        "data": report,
        "recipe": dataclasses.asdict(recipe),
        "git_revision": _git_revision(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "training": {
            "steps": state.global_step,
            "tokens": round(rows["train"].tokens * (state.epoch or 0)),
            "seconds": round(seconds),
            "best_dev_loss": state.best_metric,
            "best_step": state.best_global_step,
            "precision": "bf16 autocast" if has_fast_bfloat16() else "float32",
            "device": "cuda"
            if torch.cuda.is_available()
            else f"cpu, {torch.get_num_threads()} threads",
        },
    }


def _git_revision() -> str:
    """The commit this was trained with, marked if the tree had changes; empty outside git."""
    here = Path(__file__).parent
    commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain"])
    try:
        commit, changes = (
            subprocess.run(c, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
            for c in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + ("+changes" if changes else "")


def _write_curves(history: list[dict[str, float]], out: Path) -> None:
    write_json(out / "curves.json", history)
    matplotlib.use("agg")
    from matplotlib import pyplot  # noqa: PLC0415  (must follow the choice of backend)

    figure, (losses, rates) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 6))
    for key, axis, label in (
        ("loss", losses, "train"),
        ("eval_loss", losses, "dev"),
        ("learning_rate", rates, "learning rate"),
    ):
        points = [(entry["step"], entry[key]) for entry in history if key in entry]
        if points:
            axis.plot(*zip(*points, strict=True), label=label)
    losses.set_ylabel("loss, nats per token")
    rates.set_ylabel("learning rate")
    rates.set_xlabel("optimizer step")
    losses.legend()
    figure.savefig(out / "curves.png", dpi=120, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)

"""All of a run but its start: Trainer, with bits per byte on dev as what it is judged by.

Knows Trainer, recipes, devices and processes; must not know files of tweets or checkpoints.
"""

import dataclasses
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    EarlyStoppingCallback,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from training.bits_per_byte import score_texts, summarise
from training.budget import UNBOUNDED_STEPS, Clock, steps_for_tokens
from training.compiled_layers import compile_layers
from training.documents import BlockRows, PackedRows, TokenRows, collate, tokenise
from training.errors import TrainingError
from training.kept_difference import KeptDifference, due_after
from training.models import Starting
from training.original import notebook_text
from training.recipe import Recipe
from training.run_callbacks import Progress, Samples
from training.scored_loss import score_in_pieces
from training.states import SealStates

METRIC = "bits_per_byte"


class BitsTrainer(Trainer):
    """Trainer whose evaluation is bits per byte on dev, in fp32, see `training.bits_per_byte`.

    Every process measures it for itself, so that all choose the same best state.
    """

    def __init__(
        self,
        *,
        dev_texts: Sequence[str],
        tokenizer: PreTrainedTokenizerBase,
        clock: Clock | None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._dev_texts, self._tokenizer, self._clock = dev_texts, tokenizer, clock
        # How the weights will be kept, where that is not as they are trained.
        self.kept: KeptDifference | None = None
        self._started = time.monotonic()
        # Of the stretches before a resume, and spent on measuring since.
        self._earlier: float | None = None
        self._measuring = 0.0

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Bits per byte on dev, with the tokens and the seconds of training until now."""
        began = time.monotonic()
        if self._earlier is None:
            known = [entry["seconds"] for entry in self.state.log_history if "seconds" in entry]
            self._earlier = max(known, default=0.0)
        model: Any = self.accelerator.unwrap_model(self.model)
        was_training = model.training
        model.eval()
        with self.shown(), _without_autocast(model):
            figure = summarise(score_texts(self._dev_texts, model, self._tokenizer))
        model.train(was_training)
        seconds = self._earlier + began - self._started - self._measuring
        self._measuring += time.monotonic() - began
        metrics = {
            f"eval_{METRIC}": figure.bits_per_byte,
            "tokens": round(self.tokens_per_step * self.state.global_step),
            "seconds": round(seconds, 1),
        }
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def shown(self) -> AbstractContextManager[None]:
        """While this lasts, the weights are as they will be kept."""
        return nullcontext() if self.kept is None else self.kept.shown()

    def train(self, *arguments: Any, **options: Any) -> Any:
        """Trainer's own; seconds count from here."""
        self._started = time.monotonic()
        return super().train(*arguments, **options)

    @property
    def tokens_per_step(self) -> float:
        """Of all processes, padding not counted."""
        rows: Any = self.train_dataset
        per_step = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return float(per_step * self.args.world_size * rows.tokens / len(rows))

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> Any:
        """The recipe's, or the clock's where the run is bounded by one."""
        if self._clock is not None and self.lr_scheduler is None:
            clock, warmup = self._clock, self.args.warmup_steps
            stepped: Any = optimizer or self.optimizer
            self.lr_scheduler = LambdaLR(stepped, lambda step: clock.learning_rate(step, warmup))
        return super().create_scheduler(num_training_steps, optimizer)


def build_rows(
    recipe: Recipe, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> TokenRows:
    """The texts of the train split as the rows that a run is made on."""
    mark = tokenizer.eos_token_id
    if recipe.rows == "notebook":
        return BlockRows(tokenizer(notebook_text(texts))["input_ids"], recipe.block_size)
    documents = tokenise(texts, tokenizer, recipe.block_size)
    if recipe.rows == "blocks":
        return BlockRows([i for document in documents for i in document.ids], recipe.block_size)
    return PackedRows(documents, recipe.block_size, mark)


def build_trainer(
    recipe: Recipe,
    start: Starting,
    rows: TokenRows,
    dev_texts: Sequence[str],
    out: Path,
    *,
    tokens: int | None = None,
    minutes: float | None = None,
    max_steps: int = -1,
    evaluations: int | None = None,
    tracking: Mapping[str, Any] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> BitsTrainer:
    """All of a run but its start.

    Args:
        dev_texts: what the best state is chosen by.
        out: the run's folder; states and samples are kept there.
        tokens, minutes, max_steps: at most one bounds the run, else the recipe's epochs do.
        evaluations: how often dev is measured on the way, instead of every so many steps; not
            for a run bounded by minutes.
        tracking: arguments of `TrainingArguments` for a tracker, if there is one.

    Raises:
        TrainingError: the batch cannot be shared out among the processes.
    """
    model = start.model
    # With a cache, attention would cross from one packed tweet into the next.
    model.config.use_cache = False
    if recipe.lora is not None:
        model = get_peft_model(model, _lora_config(recipe))
    score_in_pieces(start.model)
    if recipe.compile_layers and not torch.cuda.is_available():
        _compile(start.model)
    clock = Clock(minutes) if minutes is not None else None
    if tokens is not None:
        per_step = recipe.batch_size * rows.tokens / len(rows)
        max_steps = steps_for_tokens(tokens, per_step)
    elif clock is not None:
        max_steps = UNBOUNDED_STEPS
    elif max_steps < 0:
        max_steps = math.ceil(recipe.epochs * math.ceil(len(rows) / recipe.batch_size))
    if evaluations is not None and clock is None:
        recipe = dataclasses.replace(recipe, evaluate_every=math.ceil(max_steps / evaluations))
    trainer = BitsTrainer(
        dev_texts=dev_texts,
        tokenizer=start.tokenizer,
        clock=clock,
        model=model,
        args=_arguments(recipe, out, max_steps, tracking or {"report_to": "none"}),
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=collate,
        callbacks=[
            SealStates(),
            *([EarlyStoppingCallback(recipe.patience)] if recipe.patience else []),
            *([clock] if clock else []),
            *callbacks,
        ],
    )
    if recipe.difference is not None:
        # By now the weights are on their device.
        is_due = due_after(recipe.difference.start, clock, max_steps)
        trainer.kept = KeptDifference(start.model, recipe.difference.two_bits, is_due)
        trainer.add_callback(trainer.kept)
    # Trainer's own printer repeats as a raw dict what Progress says in a line.
    trainer.remove_callback(transformers.PrinterCallback)
    if trainer.is_world_process_zero():
        trainer.add_callback(Progress(trainer.tokens_per_step, clock))
        samples = out / "samples.jsonl"
        trainer.add_callback(Samples(start.tokenizer, recipe.sample_every, samples, trainer.shown))
    return trainer


@contextmanager
def _without_autocast(model: Any) -> Iterator[None]:
    """While this lasts, the forward pass is as it was before accelerate wrapped it in autocast."""
    wrapped = model.forward
    if not hasattr(model, "_original_forward"):
        yield
        return
    model.forward = model._original_forward
    try:
        yield
    finally:
        model.forward = wrapped


def processes() -> int:
    """How many processes make this run, as torchrun says; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this one writes and speaks for all."""
    return os.environ.get("RANK", "0") == "0"


def precision() -> str:
    """The autocast of this machine: "bf16", "fp16" or "float32".

    On a CPU without bfloat16 in hardware, autocast to it is slower than fp32.
    """
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if fast else "float32"


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


def _arguments(
    recipe: Recipe, out: Path, max_steps: int, tracking: Mapping[str, Any]
) -> TrainingArguments:
    share = processes() * recipe.gradient_accumulation
    rows, rest = divmod(recipe.batch_size, share)
    if rest or not rows:
        raise TrainingError(
            f"A batch of {recipe.batch_size} rows cannot be shared out evenly among "
            f"{processes()} processes × {recipe.gradient_accumulation} accumulated steps."
        )
    arguments = TrainingArguments(
        output_dir=str(out / "states"),
        num_train_epochs=recipe.epochs,
        max_steps=max_steps,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        activation_checkpointing=recipe.activation_checkpointing,
        learning_rate=recipe.learning_rate,
        optim="adamw_torch_fused",
        lr_scheduler_type=recipe.scheduler,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        adam_epsilon=recipe.adam_epsilon,
        max_grad_norm=recipe.max_gradient_norm,
        bf16=precision() == "bf16",
        fp16=precision() == "fp16",
        use_cpu=not torch.cuda.is_available(),
        logging_steps=recipe.log_every,
        eval_on_start=True,
        eval_strategy="steps",
        eval_steps=recipe.evaluate_every,
        save_strategy="steps",
        save_steps=recipe.evaluate_every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=METRIC,
        greater_is_better=False,
        seed=recipe.seed,
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        **tracking,
    )
    if arguments.n_gpu > 1:
        # One process takes one GPU; several are torchrun's to share out, not DataParallel's, whose
        # copies of a model would call the first one's forward pass.
        arguments._n_gpu = 1
    return arguments

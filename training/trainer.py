"""Sets up transformers' Trainer for a recipe, judged by bits per byte on dev."""

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import default_collate
from transformers import (
    EarlyStoppingCallback,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME

from training import TrainingError
from training.bits_per_byte import mean_bits_per_byte, score_texts
from training.callbacks import (
    MAX_WARM_UP,
    UNBOUNDED_STEPS,
    Clock,
    Progress,
    Samples,
    seconds_measured,
)
from training.card import FEW_STEPS, METRIC
from training.checkpoints import find_best
from training.deltas import RoundDeltas, due_after
from training.documents import TokenRows
from training.faster_training import chunk_loss, compile_layers, keep_memory
from training.models import StartModel
from training.recipe import Recipe

# How long the processes of a run wait for one that does not answer. The first keeps the others
# waiting while it writes samples and states.
WAIT_SECONDS = 600


class BitsTrainer(Trainer):
    """Trainer whose evaluation is bits per byte on dev, in fp32, see `training.bits_per_byte`.

    Every process measures it for itself, so that all choose the same best state. `deltas` is set if
    weights are stored as deltas: evaluation then sees them as they will be stored.
    `tokens_per_step` are those of all processes, padding not counted.
    """

    def __init__(
        self,
        *,
        dev_texts: Sequence[str],
        tokenizer: PreTrainedTokenizerBase,
        tokens_per_step: float,
        clock: Clock | None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.tokens_per_step = tokens_per_step
        self._dev_texts, self._tokenizer, self._clock = dev_texts, tokenizer, clock
        self.deltas: RoundDeltas | None = None
        # When training would have begun, had it run without resumes and evaluations.
        self._began: float | None = None

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Bits per byte on dev, with the tokens and the seconds of training until now."""
        now = time.monotonic()
        if self._began is None:
            # The first evaluation comes before the first step, also after a resume.
            self._began = now - seconds_measured(self.state)
        model: Any = self.accelerator.unwrap_model(self.model)
        was_training = model.training
        model.eval()
        with self.as_published():
            bits = mean_bits_per_byte(score_texts(self._dev_texts, model, self._tokenizer))
        model.train(was_training)
        seconds = now - self._began
        self._began += time.monotonic() - now
        metrics = {
            f"eval_{METRIC}": bits,
            "tokens": round(self.tokens_per_step * self.state.global_step),
            "seconds": round(seconds, 1),
        }
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    @contextmanager
    def as_published(self) -> Iterator[None]:
        """Inside, weights are as they will be stored, and the model computes in fp32: a forward
        pass under accelerate's autocast would also cast all weights anew."""
        model: Any = self.accelerator.unwrap_model(self.model)
        wrapped = model.forward
        model.forward = getattr(model, "_original_forward", wrapped)
        try:
            with nullcontext() if self.deltas is None else self.deltas.rounded():
                yield
        finally:
            model.forward = wrapped

    def whole_model(self) -> Any:
        """The model; if its weights are divided among processes, the first gets a copy that has all
        of them. Every process has to call it."""
        model: Any = self.model
        if not self.is_fsdp_enabled:
            return model
        weights = self.accelerator.get_state_dict(model)
        if not self.is_world_process_zero():
            return model
        whole = transformers.AutoModelForCausalLM.from_config(model.config, dtype=torch.float32)
        whole.load_state_dict(weights)
        return whole

    def train_from(self, state: Path | None) -> None:
        """Trains, from that state on if there is one. Raises TrainingError if it is past the end
        of this run."""
        if state is None:
            self.train()
            return
        saved = TrainerState.load_from_json(str(state / TRAINER_STATE_NAME))
        if saved.global_step > self.args.max_steps:
            raise TrainingError(
                f"{state} is at step {saved.global_step:,} already, past the "
                f"{self.args.max_steps:,} steps of this run: give it more tokens, steps or epochs."
            )
        if saved.global_step < self.args.max_steps:
            self.train(resume_from_checkpoint=str(state))
            return
        # All steps are made, and only what comes after them was cut short: Trainer would make one
        # step more.
        self._load_from_checkpoint(str(state))
        self.state = saved
        find_best(self.args, saved)
        if saved.best_model_checkpoint is not None:
            self._load_best_model()

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> Any:
        """The recipe's, or the clock's if the run is bounded by one."""
        if self._clock is not None and self.lr_scheduler is None:
            clock, warmup = self._clock, self.args.warmup_steps
            stepped: Any = optimizer or self.optimizer
            self.lr_scheduler = LambdaLR(stepped, lambda step: clock.learning_rate(step, warmup))
        return super().create_scheduler(num_training_steps, optimizer)


def build_trainer(
    recipe: Recipe,
    start: StartModel,
    rows: TokenRows,
    dev_texts: Sequence[str],
    out: Path,
    *,
    tokens: int | None = None,
    minutes: float | None = None,
    max_steps: int | None = None,
    evaluations: int | None = None,
    prompts: Sequence[str] = (),
    tracking: Mapping[str, Any] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> BitsTrainer:
    """A trainer that is ready to train.

    Args:
        dev_texts: the best state is chosen by them.
        out: the run's folder; states and samples are written there.
        tokens, minutes, max_steps: at most one bounds the run; without one, the recipe's epochs do.
        evaluations: how often dev is measured on the way, instead of the recipe's
            `evaluate_every`; not for a run bounded by minutes.
        prompts: openings that samples begin with.
        tracking: arguments of `TrainingArguments` for a tracker, if there is one.

    Raises TrainingError if the batch cannot be divided evenly among the processes."""
    model = start.model
    # With a cache, attention would cross from one packed tweet into the next.
    model.config.use_cache = False
    if recipe.lora is not None:
        adapter = LoraConfig(
            r=recipe.lora.rank,
            lora_alpha=recipe.lora.alpha,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        model = get_peft_model(model, adapter)
    chunk_loss(start.model)
    if recipe.compile_layers and not torch.cuda.is_available():
        # On a CPU, PyTorch's fused attention has a slow gradient in bfloat16, and cannot be
        # compiled.
        start.model.set_attn_implementation("eager")
        keep_memory()
        if not compile_layers(start.model):
            print(
                "Nothing can be compiled here, so training takes longer: install g++.", flush=True
            )
    clock = None
    tokens_per_step = recipe.batch_size * rows.tokens / len(rows)
    if tokens is not None:
        max_steps = steps_for_tokens(tokens, tokens_per_step)
    elif minutes is not None:
        clock, max_steps = Clock(minutes), UNBOUNDED_STEPS
    elif max_steps is None:
        max_steps = math.ceil(recipe.epochs * math.ceil(len(rows) / recipe.batch_size))
    warm_up: float = recipe.warmup_steps
    if clock is None:
        warm_up = warm_up_steps(warm_up, max_steps)
        _say_what_is_short(recipe, max_steps, warm_up)
    if evaluations is not None:
        recipe = recipe.changed(evaluate_every=math.ceil(max_steps / evaluations))
    trainer = BitsTrainer(
        dev_texts=dev_texts,
        tokenizer=start.tokenizer,
        tokens_per_step=tokens_per_step,
        clock=clock,
        model=model,
        args=_arguments(recipe, out, max_steps, warm_up, tracking or {"report_to": "none"}),
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=default_collate,
        callbacks=[
            *([EarlyStoppingCallback(recipe.patience)] if recipe.patience else []),
            *([clock] if clock else []),
            *callbacks,
        ],
    )
    if recipe.difference is not None:
        # The trainer has moved the weights to their device.
        is_due = due_after(recipe.difference.start, clock, max_steps)
        whole = rows.most_frequent(recipe.difference.whole_tokens)
        trainer.deltas = RoundDeltas(start.model, recipe.difference.two_bits, is_due, whole)
        trainer.add_callback(trainer.deltas)
    # Trainer's own printer repeats as a raw dict what Progress says in a line.
    trainer.remove_callback(transformers.PrinterCallback)
    is_first = trainer.is_world_process_zero()
    if is_first:
        trainer.add_callback(Progress(tokens_per_step, clock))
    if is_first or recipe.fsdp:
        # Where weights are divided, no process can write a text without the others.
        samples = out / "samples.jsonl" if is_first else Path(os.devnull)
        trainer.add_callback(
            Samples(start.tokenizer, prompts, recipe.sample_every, samples, trainer.as_published)
        )
    if recipe.fsdp and processes() > 1 and not trainer.is_fsdp_enabled:
        raise TrainingError("fsdp = true divides weights among GPUs; these processes have none.")
    return trainer


def _arguments(
    recipe: Recipe, out: Path, max_steps: int, warm_up: float, tracking: Mapping[str, Any]
) -> TrainingArguments:
    rows, rest = divmod(recipe.batch_size, processes() * recipe.gradient_accumulation)
    if rest or not rows:
        raise TrainingError(
            f"A batch of {recipe.batch_size} rows cannot be divided evenly among "
            f"{processes()} processes × {recipe.gradient_accumulation} accumulated steps."
        )
    arguments = TrainingArguments(
        output_dir=str(out / "states"),
        num_train_epochs=recipe.epochs,
        max_steps=max_steps,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        activation_checkpointing=recipe.activation_checkpointing,
        # Annotated for its older values.
        fsdp=recipe.fsdp,  # type: ignore[arg-type]
        learning_rate=recipe.learning_rate,
        optim="adamw_torch_fused",
        lr_scheduler_type=recipe.scheduler,
        warmup_steps=warm_up,
        weight_decay=recipe.weight_decay,
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
        ddp_timeout=WAIT_SECONDS,
        # Soft labels, which `chunk_loss` takes, are not in the signature of the model's forward.
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        **tracking,
    )
    if arguments.n_gpu > 1:
        # A process uses one GPU. For several there is torchrun: DataParallel's copies of a model
        # would call the first one's forward pass.
        arguments._n_gpu = 1
    return arguments


def steps_for_tokens(tokens: int, tokens_per_step: float) -> int:
    """The fewest steps in which so many tokens are seen."""
    return max(1, math.ceil(tokens / tokens_per_step))


def warm_up_steps(asked: float, max_steps: int) -> int:
    """A recipe's `warmup_steps` in a run of that length: a share of it below 1, else so many steps,
    but at most MAX_WARM_UP of the run."""
    return int(asked * max_steps if asked < 1 else min(asked, MAX_WARM_UP * max_steps))


def _say_what_is_short(recipe: Recipe, max_steps: int, warm_up: int) -> None:
    if 1 <= recipe.warmup_steps != warm_up:
        print(
            f"Warm-up is cut from {recipe.warmup_steps:,} steps to {warm_up:,}: the run makes "
            f"{max_steps:,}.",
            flush=True,
        )
    if max_steps < FEW_STEPS:
        print(
            f"Optimizer steps: {max_steps:,}. In so few, little is learnt: give the run more "
            "tokens or epochs, or the recipe a smaller batch_size.",
            flush=True,
        )


def processes() -> int:
    """How many processes make this run, as torchrun says; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def precision() -> str:
    """The autocast of this machine: "bf16", "fp16" or "float32".

    On a CPU without bfloat16 in hardware, autocast to it is slower than fp32.
    """
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if fast else "float32"

"""What passes between the benchmark and a worker: both ends of the pipe.

Knows processes, lines and clocks; must not know any engine.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from benchmarks.errors import BenchmarkError

PROMPT_TOKENS = 8
READY = "ready"
SEED = 7
STOP_SECONDS = 20

Prompts = Sequence[Sequence[int]]
# Prompts and a number of new tokens → the new tokens of each prompt.
Decode = Callable[[Prompts, int], Sequence[Sequence[int]]]
Load = Callable[[Path, str, int], Decode]


class WorkerFailed(BenchmarkError):
    """A worker ended, or did something else than was asked; the message has its last words."""


@dataclass(frozen=True)
class Timing:
    """One decoding: its seconds, prompts included, and the new tokens of all sequences."""

    seconds: float
    tokens: int


def serve(load: Load) -> None:
    """The worker's whole program: loads an exported checkpoint, then obeys its stdin.

    `load` takes the exported folder, the setting and the number of threads.
    """
    arguments = _arguments()
    answers = _private_stdout()
    decode = load(arguments.folder, arguments.setting, arguments.threads)
    config = json.loads((arguments.checkpoint / "config.json").read_text(encoding="utf-8"))
    print(READY, file=answers, flush=True)
    for line in sys.stdin:
        batch, new_tokens = map(int, line.split())
        prompts = _prompts(batch, config["vocab_size"])
        started = time.perf_counter()
        made = decode(prompts, new_tokens)
        seconds = time.perf_counter() - started
        answer = {"seconds": seconds, "tokens": [len(tokens) for tokens in made]}
        print(json.dumps(answer), file=answers, flush=True)


class Worker:
    """The benchmark's end: a worker process that is loaded and waits for commands."""

    def __init__(self, module: str, arguments: Sequence[str], log: Path) -> None:
        """Starts `python -m MODULE ARGUMENTS…`; what it logs goes to the file.

        Raises:
            WorkerFailed: it did not become ready.
        """
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        if self._answer() != READY:
            self.close()
            raise WorkerFailed(f"{module} did not start: {_last_line(log)}")

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self._process.pid

    def run(self, batch: int, new_tokens: int) -> Timing:
        """Decodes a batch of prompts.

        Raises:
            WorkerFailed: it ended, or did not make as many tokens as were asked for.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"{batch} {new_tokens}\n")
        self._process.stdin.flush()
        line = self._answer()
        if not line:
            raise WorkerFailed(f"A worker ended: {_last_line(self._log)}")
        answer = json.loads(line)
        if answer["tokens"] != [new_tokens] * batch:
            raise WorkerFailed(f"{batch} x {new_tokens} tokens were asked for, not {line}.")
        return Timing(answer["seconds"], sum(answer["tokens"]))

    def close(self) -> None:
        """Ends the process, which stops at the end of its stdin."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def export_once(exporter: str, checkpoint: Path, folder: Path, log: Path) -> None:
    """Exports a checkpoint for an engine, in a process of its own: what that takes in memory
    is not the worker's.

    Raises:
        WorkerFailed: it could not be exported.
    """
    # The demo's own exporter also asks what the checkpoint is called.
    arguments = [str(checkpoint), str(folder), checkpoint.name]
    with log.open("ab") as output:
        done = subprocess.run(
            [sys.executable, "-m", exporter, *arguments], stdout=output, stderr=output
        )
    if done.returncode:
        raise WorkerFailed(f"{exporter} could not export {checkpoint.name}: {_last_line(log)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--setting", default="")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def _private_stdout() -> TextIO:
    """The benchmark's pipe; whatever a library prints goes to the log."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _prompts(batch: int, vocab_size: int) -> Prompts:
    """The same for every engine."""
    source = random.Random(SEED)
    return [[source.randrange(vocab_size) for _ in range(PROMPT_TOKENS)] for _ in range(batch)]


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing."

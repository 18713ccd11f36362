"""Processes of their own without their own imports: forked from a server that has imported torch,
transformers and the training code once, which takes far longer than a tiny run.

`python -m training` itself is started by the run under torchrun, and by `compare` when a test
interrupts it.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import TextIO
from unittest.mock import patch

from tests.processes import ROOT
from training import __main__ as command_line

# Off the Hub, and on one thread, since a tiny model only loses by sharing.
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
_CONTEXT = multiprocessing.get_context("forkserver")
# A process has one such server, whoever starts it: what all forks need is named here.
_CONTEXT.set_forkserver_preload(["training.finetune", "tests.hostile_checkpoints"])


def forkserver_context() -> "multiprocessing.context.ForkServerContext":
    """The context whose processes are forked from that server, which runs from now on."""
    with patch.dict(os.environ, ENVIRONMENT):
        forkserver.ensure_running()
    return _CONTEXT


class Forked:
    """A process that runs a function; what it prints on stdout and stderr is read from `output`."""

    def __init__(self, run: Callable[..., object], *arguments: object, **variables: str) -> None:
        context = forkserver_context()
        reader, writer = context.Pipe(duplex=False)
        self._process = context.Process(target=_enter, args=(writer, variables, run, arguments))
        self._process.start()
        writer.close()
        self.output: TextIO = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def finish(self, seconds: float = 300) -> tuple[int | None, str]:
        """Waits for its end, and returns its exit code and what it printed."""
        printed = self.output.read()
        self._process.join(seconds)
        return self.poll(), printed

    def close(self) -> None:
        """Kills it if it still runs."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self.output.close()


@contextmanager
def forked(run: Callable[..., object], *arguments: object, **variables: str) -> Iterator[Forked]:
    """`run(*arguments)` with these environment variables, in a process of its own, which is killed
    if it still runs in the end."""
    process = Forked(run, *arguments, **variables)
    try:
        yield process
    finally:
        process.close()


def run_verb(*arguments: object) -> None:
    """`python -m training *arguments`, for `forked`."""
    sys.argv = ["training", *map(str, arguments)]
    sys.exit(command_line.main())


def _enter(
    output: Connection,
    variables: dict[str, str],
    run: Callable[..., object],
    arguments: Sequence[object],
) -> None:
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    os.environ.update(variables)
    os.chdir(ROOT)
    run(*arguments)

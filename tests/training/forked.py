"""Training in forked processes, whose output is read as it comes.

Only a `compare` that a test interrupts is started as `python -m training` itself.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from typing import TextIO

from tests.forking import Forked
from training import __main__ as command_line


class Training(Forked):
    """A process that runs a function; what it prints is read from `output`."""

    def __init__(self, run: Callable[..., object], *args: object, **variables: str) -> None:
        reader, writer = Pipe(duplex=False)
        super().__init__(writer, _with_variables, variables, run, args)
        self.output: TextIO = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()

    def finish(self, seconds: float = 300) -> tuple[int | None, str]:
        """Waits for its end, and returns its exit code and what it printed."""
        printed = self.output.read()
        return self.wait(seconds), printed


@contextmanager
def forked(run: Callable[..., object], *args: object, **variables: str) -> Iterator[Training]:
    """`run(*args)` with these environment variables, in a process of its own, which is killed if it
    still runs in the end."""
    process = Training(run, *args, **variables)
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)
        process.output.close()


def run_verb(*arguments: object) -> None:
    """`python -m training *arguments`, for `forked`."""
    sys.argv = ["training", *map(str, arguments)]
    sys.exit(command_line.main())


def _with_variables(
    variables: dict[str, str], run: Callable[..., object], args: tuple[object, ...]
) -> None:
    os.environ.update(variables)
    run(*args)

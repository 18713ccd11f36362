"""How the page and our completions server start: the settings, then a checkpoint and its engine."""

import sys
from collections.abc import Callable

from demo import log
from demo.checkpoints.files import PLOT, CheckpointError
from demo.checkpoints.resolve import Checkpoint, resolve_checkpoint
from demo.generation.engine import UnusableServer, load_engine
from demo.judging.judges import Judges, read_metrics
from demo.log import say
from demo.server.service import Loaded
from demo.settings import InvalidSetting, Settings, read_settings
from demo.subprocesses import NotEnoughMemory, require_memory

# Of each of the two processes, in whose address space much is reserved that is never used.
NEEDED_BYTES = 10**9
OWNERS_TO_MEND = (CheckpointError, InvalidSetting, NotEnoughMemory, UnusableServer)

REMOTE_NOTICE = (
    "The texts are written on another server. This page cannot verify which weights it has, or "
    "that the same seed gives the same text there."
)


def start(serve: Callable[[Settings], None]) -> int:
    """Serves until it is told to stop; returns the exit code. What an owner can mend ends in one
    sentence on stderr."""
    try:
        settings = read_settings()
        log.set_up(settings.log_format)
        settings.require_free_port()
        require_memory(NEEDED_BYTES, "The demo")
        serve(settings)
    except OWNERS_TO_MEND as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def load(settings: Settings) -> Loaded:
    """The checkpoint that the settings name, or its replacement, and the engine that runs it.
    Raises CheckpointError if there is none that can be run, UnusableServer if the completions
    server that the settings name can never be used."""

    def loaded(checkpoint: Checkpoint) -> Loaded:
        engine = load_engine(checkpoint, settings, say)
        folder = checkpoint.folder
        judges, metrics, plot = Judges.load(folder, say), read_metrics(folder), folder / PLOT
        remote = REMOTE_NOTICE if settings.engine == "remote" else ""
        notice = f"{checkpoint.notice} {remote}".strip()
        return Loaded(engine, notice, judges, metrics, plot if plot.is_file() else None)

    return resolve_checkpoint(settings, say, loaded)

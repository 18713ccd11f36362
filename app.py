"""The demo's entry point: settings → checkpoint and engine → page → launch."""

import platform
import sys

from demo import log
from demo.checkpoints.embedded import EMBEDDED
from demo.checkpoints.files import PLOT
from demo.checkpoints.resolve import CheckpointError, early_folder
from demo.generation.engine import UnusableServer
from demo.generation.profile import read_profile
from demo.judging.judges import Judges, read_metrics
from demo.loading import load_checkpoint
from demo.log import say
from demo.server.service import Loaded, Service
from demo.settings import CannotListen, InvalidSetting, Settings, read_settings
from demo.subprocesses import NotEnoughMemory, require_memory

# Of each of the two processes, in whose address space much is reserved that is never used.
NEEDED_BYTES = 10**9
OWNERS_TO_MEND = (CannotListen, CheckpointError, InvalidSetting, NotEnoughMemory, UnusableServer)
REMOTE_NOTICE = (
    "The texts are written on another server. This page cannot verify which weights it has, or "
    "that the same seed gives the same text there."
)


def main() -> int:
    """Serves until it is told to stop; returns the exit code.

    What an owner can mend ends in one sentence on stderr, and exit code 1.
    """
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


def serve(settings: Settings) -> None:
    """Loads the engine and serves the page meanwhile."""
    say("Starting.", python=platform.python_version(), engine=settings.engine)
    if settings.zero_gpu:
        # It must be imported before torch, and exists on ZeroGPU alone.
        import spaces  # noqa: F401, PLC0415

    service = Service(lambda: load(settings))
    service.begin()
    if settings.zero_gpu:
        # ZeroGPU collects its functions when the page is launched.
        service.wait()
    # Of the checkpoint that the settings name: its weights may not be there yet.
    folder = early_folder(
        model_id=settings.model_id,
        model_revision=settings.model_revision,
        folder=settings.checkpoint,
        embedded=EMBEDDED,
    )
    profile = read_profile(folder)
    # Imported only now: it takes seconds, in which the engine loads, and which a start that is
    # refused does not need. And Gradio parses its own variables when it is imported, where a bad
    # GRADIO_SERVER_PORT would end in a traceback.
    from demo.launch import launch  # noqa: PLC0415

    # What is known already to have failed needs no page.
    service.wait(0)
    launch(service, settings, profile)


def load(settings: Settings) -> Loaded:
    """The checkpoint that the settings name, or its replacement, and the engine that runs it.

    Raises:
        CheckpointError: there is none that can be run.
    """
    checkpoint, engine = load_checkpoint(settings, EMBEDDED)
    folder = checkpoint.folder
    judges, metrics = Judges.load(folder, say), read_metrics(folder)
    plot = folder / PLOT
    remote = REMOTE_NOTICE if settings.engine == "remote" else ""
    notice = f"{checkpoint.notice} {remote}".strip()
    return Loaded(engine, notice, judges, metrics, plot if plot.is_file() else None)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

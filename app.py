"""The demo's entry point: settings → checkpoint and engine → page → launch."""

import platform
import sys
from dataclasses import replace

from demo import log
from demo.checkpoints.resolve import CheckpointError, early_folder
from demo.generation.engine import UnusableServer
from demo.generation.profile import read_profile
from demo.loading import load
from demo.log import say
from demo.server.service import Service
from demo.settings import CannotListen, InvalidSetting, Settings, read_settings
from demo.subprocesses import NotEnoughMemory, require_memory

# Of each of the two processes, in whose address space much is reserved that is never used.
NEEDED_BYTES = 10**9
OWNERS_TO_MEND = (CannotListen, CheckpointError, InvalidSetting, NotEnoughMemory, UnusableServer)


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
    profile = read_profile(early_folder(settings))
    profile = replace(profile, repeats_seeds=settings.engine != "remote")
    # Imported only now: it takes seconds, in which the engine loads, and which a start that is
    # refused does not need. And Gradio parses its own variables when it is imported, where a bad
    # GRADIO_SERVER_PORT would end in a traceback.
    from demo.launch import launch  # noqa: PLC0415

    # What is known already to have failed needs no page.
    service.wait(0)
    launch(service, settings, profile)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

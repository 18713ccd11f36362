"""The demo's entry point: settings → checkpoint and engine → page → launch."""

import gc
import platform
import sys
from dataclasses import replace

from demo.checkpoints.resolve import early_folder
from demo.generation.profile import read_profile
from demo.loading import load, start
from demo.log import say
from demo.server.service import Service
from demo.settings import Settings
from demo.stub_files import without_stub_files


def main() -> int:
    """Serves until it is told to stop; returns the exit code."""
    return start(serve)


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
    with without_stub_files():
        from demo.launch import launch  # noqa: PLC0415
    # What was imported stays: each full collection would look through it, for a tenth of a second
    # in which nobody is answered.
    gc.freeze()

    # What is known already to have failed needs no page.
    service.wait(0)
    launch(service, settings, profile)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

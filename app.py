"""The demo's entry point: settings → checkpoint → engine → page → launch. Nothing else."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from demo.checkpoints.persona import InvalidPersona
from demo.generation.introduction import FILES, Introduction, introduce
from demo.judging.judges import Judges, read_metrics
from demo.server.service import Loaded, Service
from demo.settings import CannotListen, InvalidSetting, Settings, read_settings

if TYPE_CHECKING:
    from demo.checkpoints.resolve import Checkpoint

EMBEDDED = Path(__file__).parent / "embedded"


def main() -> int:
    """Serves until it is told to stop; the exit code, 1 if it could not start."""
    try:
        settings = read_settings()
        settings.require_free_port()
    except InvalidSetting as error:
        return _refuse(error)
    return serve(settings)


def serve(settings: Settings) -> int:
    """Loads and serves; what an owner can mend ends in one sentence on stderr."""
    if settings.zero_gpu:
        # It must come before torch, and is there on ZeroGPU alone.
        import spaces  # noqa: F401, PLC0415

    from demo.checkpoints.resolve import CheckpointError  # noqa: PLC0415

    service = Service(lambda: load(settings), _slots(settings))
    service.begin()
    try:
        if settings.zero_gpu:
            # ZeroGPU collects its functions when the page is launched.
            service.wait()
        # Imported only now: it takes seconds, in which the engine loads, and Gradio parses its own
        # variables while it is imported, where a bad GRADIO_SERVER_PORT would end in a traceback.
        from demo.launch import launch  # noqa: PLC0415

        launch(service, settings, introduction(settings))
    except (CannotListen, CheckpointError, InvalidPersona) as error:
        return _refuse(error)
    return 0


def _slots(settings: Settings) -> int:
    """How many texts are given to the engine at once: transformers writes one after the other,
    but on ZeroGPU each in a process of its own."""
    from demo.generation.choosing import has_gpu  # noqa: PLC0415

    by_transformers = settings.engine == "transformers" or (
        settings.engine == "auto" and has_gpu(settings.device)
    )
    return 1 if by_transformers and not settings.zero_gpu else settings.slots


def introduction(settings: Settings) -> Introduction:
    """What the page must know of the checkpoint that the settings name.

    Raises:
        InvalidPersona: it says whose tweets it imitates in a file that cannot be used.
    """
    from demo.checkpoints.resolve import early_folder  # noqa: PLC0415

    folder = early_folder(
        model_id=settings.model_id,
        model_revision=settings.model_revision,
        folder=settings.checkpoint,
        embedded=EMBEDDED,
        names=FILES,
    )
    return introduce(folder)


def load(settings: Settings) -> Loaded:
    """The engine over the checkpoint that the settings name; over the embedded one where that is
    the Hub's and cannot be run: whole, but without a weight, say.

    Raises:
        CheckpointError: it cannot be had or run.
    """
    from demo.checkpoints.resolve import PLOT, CheckpointError  # noqa: PLC0415
    from demo.generation.choosing import EngineSettings, load_engine  # noqa: PLC0415

    engine_settings = EngineSettings(
        name=settings.engine,
        device=settings.device,
        exact=settings.exact,
        slots=settings.slots,
        deadline_seconds=settings.deadline_seconds,
        cache_dir=settings.cache_dir,
        zero_gpu=settings.zero_gpu,
    )
    checkpoint = _resolved(settings)
    try:
        engine = load_engine(checkpoint, engine_settings, _say)
    except CheckpointError as error:
        if not settings.model_id or checkpoint.is_embedded:
            raise
        _say(str(error))
        notice = f"{settings.model_id} could not be run. The embedded checkpoint runs instead."
        embedded = _resolved(replace(settings, model_id="", checkpoint=None))
        checkpoint = replace(embedded, notice=notice)
        engine = load_engine(checkpoint, engine_settings, _say)
    folder = checkpoint.folder
    judges, metrics = Judges.load(folder, _say), read_metrics(folder)
    plot = folder / PLOT
    return Loaded(engine, checkpoint.notice, judges, metrics, plot if plot.is_file() else None)


def _resolved(settings: Settings) -> "Checkpoint":
    from demo.checkpoints.resolve import resolve_checkpoint  # noqa: PLC0415

    return resolve_checkpoint(
        model_id=settings.model_id,
        model_revision=settings.model_revision,
        folder=settings.checkpoint,
        embedded=EMBEDDED,
        base_file=settings.base_file,
        cache_dir=settings.cache_dir,
        say=_say,
    )


def _say(sentence: str) -> None:
    print(sentence, flush=True)


def _refuse(error: Exception) -> int:
    print(error, file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

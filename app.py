"""The demo's entry point: settings → checkpoint → engine → page → launch. Nothing else."""

import sys
from pathlib import Path

from demo.serving.address import CannotListen, require_free_port
from demo.serving.settings import InvalidSetting, Settings, read_settings

EMBEDDED = Path(__file__).parent / "embedded"


def main() -> int:
    """Serves until it is told to stop; the exit code, 1 if it could not start."""
    try:
        settings = read_settings()
        require_free_port(settings)
    except (InvalidSetting, CannotListen) as error:
        return _refuse(error)
    return serve(settings)


def serve(settings: Settings) -> int:
    """Loads and serves; what an owner can mend ends in one sentence on stderr."""
    # Imported only now: they take seconds, and Gradio parses its own variables while it is
    # imported, where a bad GRADIO_SERVER_PORT would end in a traceback.
    from demo.generation.checkpoint import CheckpointError, resolve_checkpoint  # noqa: PLC0415
    from demo.generation.transformers_engine import TransformersEngine  # noqa: PLC0415
    from demo.ui.launch import launch  # noqa: PLC0415

    try:
        checkpoint = resolve_checkpoint(
            model_id=settings.model_id,
            model_revision=settings.model_revision,
            folder=settings.checkpoint,
            embedded=EMBEDDED,
            base_file=settings.base_file,
            cache_dir=settings.cache_dir,
            say=lambda sentence: print(sentence, flush=True),
        )
        engine = TransformersEngine(
            checkpoint, device=settings.device, deadline_seconds=settings.deadline_seconds
        )
        launch(engine, settings, checkpoint.notice)
    except (CannotListen, CheckpointError) as error:
        return _refuse(error)
    return 0


def _refuse(error: Exception) -> int:
    print(error, file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

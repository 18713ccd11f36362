"""The checkpoint that the settings name, or its replacement, and the engine that runs it."""

from pathlib import Path

from demo.checkpoints.resolve import Checkpoint, resolve_checkpoint
from demo.generation.engine import Engine, EngineSettings, RemoteServer, load_engine
from demo.log import say
from demo.settings import Settings


def load_checkpoint(settings: Settings, embedded: Path) -> tuple[Checkpoint, Engine]:
    """Raises CheckpointError if there is no checkpoint that can be run, UnusableServer if the
    completions server that the settings name can never do."""
    engine_settings = EngineSettings(
        name=settings.engine,
        device=settings.device,
        slots=settings.slots,
        deadline_seconds=settings.deadline_seconds,
        cache_dir=settings.cache_dir,
        zero_gpu=settings.zero_gpu,
        server=RemoteServer(
            settings.engine_url, settings.engine_key, settings.engine_model, settings.engine_kind
        ),
    )
    engine: Engine

    def load_with(checkpoint: Checkpoint) -> None:
        nonlocal engine
        engine = load_engine(checkpoint, engine_settings, say)

    checkpoint = resolve_checkpoint(
        model_id=settings.model_id,
        model_revision=settings.model_revision,
        folder=settings.checkpoint,
        embedded=embedded,
        base_file=settings.base_file,
        cache_dir=settings.cache_dir,
        say=say,
        load=load_with,
    )
    return checkpoint, engine

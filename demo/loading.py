"""The checkpoint that the settings name, or its replacement, and the engine that runs it."""

from demo.checkpoints.files import PLOT
from demo.checkpoints.resolve import Checkpoint, resolve_checkpoint
from demo.generation.engine import load_engine
from demo.judging.judges import Judges, read_metrics
from demo.log import say
from demo.server.service import Loaded
from demo.settings import Settings

REMOTE_NOTICE = (
    "The texts are written on another server. This page cannot verify which weights it has, or "
    "that the same seed gives the same text there."
)


def load(settings: Settings) -> Loaded:
    """Raises CheckpointError if there is no checkpoint that can be run, UnusableServer if the
    completions server that the settings name can never do."""

    def loaded(checkpoint: Checkpoint) -> Loaded:
        engine = load_engine(checkpoint, settings, say)
        folder = checkpoint.folder
        judges, metrics, plot = Judges.load(folder, say), read_metrics(folder), folder / PLOT
        remote = REMOTE_NOTICE if settings.engine == "remote" else ""
        notice = f"{checkpoint.notice} {remote}".strip()
        return Loaded(engine, notice, judges, metrics, plot if plot.is_file() else None)

    return resolve_checkpoint(settings, say, loaded)

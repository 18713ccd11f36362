"""Which engine runs a checkpoint on this machine.

Knows every engine and what it needs; imports only the one that is taken, since torch and
transformers cost seconds and hundreds of megabytes. Must not know HTTP, Gradio or HTML.
"""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from demo.checkpoints.resolve import Checkpoint, CheckpointError
from demo.generation.engine import Engine, EngineName

Say = Callable[[str], None]
# A Linux machine with a GPU that torch could use has one of: NVIDIA, AMD, Windows' own Linux.
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


@dataclass(frozen=True)
class EngineSettings:
    """What an owner may say of the engine. `slots` is how many texts the OpenVINO engine writes
    at once; `exact` asks for its exact settings also where the fast ones would do."""

    name: EngineName
    device: str
    exact: bool
    slots: int
    deadline_seconds: float
    cache_dir: Path
    zero_gpu: bool = False


def load_engine(checkpoint: Checkpoint, settings: EngineSettings, say: Say) -> Engine:
    """The engine that is asked for; for `auto` transformers on a GPU, OpenVINO on a CPU where
    it can run, else transformers. Which, and why, is said.

    Raises:
        CheckpointError: the checkpoint cannot be run.
    """
    if settings.zero_gpu:
        say("Engine: transformers, on ZeroGPU.")
        return _zero_gpu(checkpoint, settings)
    if settings.name == "transformers":
        say("Engine: transformers, because ENGINE says so.")
        return _transformers(checkpoint, settings)
    if settings.name == "auto" and has_gpu(settings.device):
        say("Engine: transformers, because there is a GPU.")
        return _transformers(checkpoint, settings)
    try:
        engine = _openvino(checkpoint, settings, say)
    except CheckpointError as error:
        if settings.name == "openvino":
            raise
        say(f"Engine: transformers, because OpenVINO cannot be taken: {error}")
        return _transformers(checkpoint, settings)
    because = "ENGINE says so" if settings.name == "openvino" else "there is no GPU"
    say(f"Engine: OpenVINO, because {because}.")
    return engine


def has_gpu(device: str) -> bool:
    """Whether `device`, or for `auto` this machine, means a GPU; torch is asked only where there
    may be one."""
    if device != "auto":
        return device == "cuda"
    if sys.platform == "linux" and not any(Path(path).exists() for path in _GPU_DEVICES):
        return False
    import torch  # noqa: PLC0415  (seconds, for nothing on most machines)

    return torch.cuda.is_available()


def _openvino(checkpoint: Checkpoint, settings: EngineSettings, say: Say) -> Engine:
    if importlib.util.find_spec("openvino_genai") is None:
        raise CheckpointError("openvino-genai is not installed.")
    from demo.generation.openvino.engine import OpenVINOEngine  # noqa: PLC0415
    from demo.generation.openvino.exported import exported_folder  # noqa: PLC0415

    return OpenVINOEngine(
        exported_folder(checkpoint, settings.cache_dir, say),
        checkpoint,
        # The embedded one is small enough for a seed to be worth more than the speed.
        exact=settings.exact or checkpoint.is_embedded,
        slots=settings.slots,
        deadline_seconds=settings.deadline_seconds,
    )


def _transformers(checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
    from demo.generation.transformers_engine import TransformersEngine  # noqa: PLC0415

    return TransformersEngine(
        checkpoint, device=settings.device, deadline_seconds=settings.deadline_seconds
    )


def _zero_gpu(checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
    from demo.generation.zero_gpu import ZeroGPUEngine  # noqa: PLC0415

    return ZeroGPUEngine(checkpoint, settings.deadline_seconds)

"""The transformers engine on Hugging Face's ZeroGPU, which lends a GPU for each text.

Knows the package `spaces`, which a Space brings; must not know Gradio or HTML. Imported only
there, and before torch, as that package asks for.
"""

from collections.abc import Generator

import spaces

from demo.checkpoints.resolve import Checkpoint
from demo.generation.engine import Chunk
from demo.generation.request import GenerationRequest
from demo.generation.transformers_engine import TransformersEngine

# Seconds of GPU that are booked for one text. A visitor's quota is counted by what is booked,
# and a tweet takes about two.
BOOKED_SECONDS = 15


class ZeroGPUEngine(TransformersEngine):
    """Holds the model on what ZeroGPU calls cuda from the start; each stream runs in a process
    that has the GPU."""

    def __init__(self, checkpoint: Checkpoint, deadline_seconds: float) -> None:
        """Must be called before the page is launched: that is when ZeroGPU collects its functions.

        Raises:
            CheckpointError: the checkpoint cannot be loaded.
        """
        super().__init__(checkpoint, device="cuda", deadline_seconds=deadline_seconds)
        self._lent = spaces.GPU(duration=BOOKED_SECONDS)(super().stream)

    def stream(self, request: GenerationRequest) -> Generator[Chunk, None, None]:
        """See `Engine.stream`."""
        yield from self._lent(request)

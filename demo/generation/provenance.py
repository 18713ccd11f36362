"""Where a generated text came from, in one line.

Knows requests and engines' identities; must not know where the line is shown.
"""

from demo.generation.engine import EngineIdentity
from demo.generation.request import GenerationRequest


def source_line(identity: EngineIdentity, request: GenerationRequest) -> str:
    """Checkpoint, engine, seed and settings: what it takes to repeat a text, but its prompt."""
    settings = request.settings()
    seed = settings.pop("seed")
    return " · ".join((
        f"{identity.checkpoint}@{identity.revision[:12]}",
        f"{identity.engine} {identity.precision}",
        f"seed {seed}",
        *(f"{name} {value:g}" for name, value in settings.items()),
    ))  # fmt: skip

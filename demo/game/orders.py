"""What the engine is asked to write for the game, and which of its texts are taken.

Knows sampling settings, opening words and fitness; must not know when anything is written.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from demo.game.filler import Order
from demo.game.fitness import Fitness
from demo.game.pool import Written
from demo.generation.engine import EngineIdentity, source_line
from demo.generation.request import GenerationRequest

# A long tweet ends within them; what does not is not shown.
MAX_NEW_TOKENS = 160
OPENING_WORDS = (2, 5)
# With fewer, hardly anything of the text would be generated.
MIN_NEW_WORDS = 3


@dataclass(frozen=True)
class Orders:
    """Half from nothing, half from the opening words of a real tweet.

    `texts` are the real ones by their numbers, `wants` says whether one that could be shown
    instead is about as long, `repeats` whether a text repeats a real one; `learn` is told of every
    text that may be shown.
    """

    texts: Sequence[str]
    fitness: Fitness
    defaults: GenerationRequest
    wants: Callable[[int], bool]
    repeats: Callable[[str], object]
    learn: Callable[[str], None]
    chance: Random

    def draw(self) -> Order:
        """The next one, with a seed of its own."""
        begun = self.chance.random() < 0.5
        root = self.chance.randrange(len(self.texts)) if begun else None
        opening = "" if root is None else self._opening(self.texts[root])
        request = replace(self.defaults, prompt=opening, max_new_tokens=MAX_NEW_TOKENS, seed=None)
        return Order(request, root)

    def accept(self, order: Order, text: str, identity: EngineIdentity) -> Written | None:
        """The text as it may be shown, if it may."""
        if len(text.split()) < len(order.request.opening.split()) + MIN_NEW_WORDS:
            return None
        shown = self.fitness.generated(text)
        if shown is None or self.repeats(shown):
            return None
        self.learn(shown)
        if not self.wants(len(shown)):
            return None
        return Written(shown, source_line(identity, order.request), order.root)

    def _opening(self, text: str) -> str:
        """At most all words but the last: the rest is the model's to find."""
        words = text.split()
        return " ".join(words[: min(self.chance.randint(*OPENING_WORDS), len(words) - 1)])

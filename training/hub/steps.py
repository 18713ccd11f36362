"""What a verb did to the Hub, step by step, so that it can be told when the rest does not come.

Knows that a step may fail and what it leaves; must not know what a step is for.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from training.errors import TrainingError
from training.hub.errors import is_refusal, sentence

AGAIN = "Run the same command again; it goes on from what is there."


@dataclass
class Steps:
    """What was changed so far: told as it happens, and again if the rest does not come. Whether
    a step that was cut off (`in_doubt`) was done, only the Hub knows."""

    done: list[str] = field(default_factory=list)
    in_doubt: str = ""

    @contextmanager
    def step(self, doing: str, changed: str = "", unsure: bool = False) -> Iterator[None]:
        """One request or a few: `doing` as in "could not …"; `changed` is what is different on the
        Hub afterwards, if something is. If only the step itself can tell, it is `unsure`.

        Raises:
            TrainingError: the client failed; says why and what to do.
        """
        self.in_doubt = doing if changed or unsure else ""
        try:
            yield
        except TrainingError:
            raise
        # Whatever the client meets, an answer that it does not understand among it, it raises.
        except Exception as error:
            if is_refusal(error):
                self.in_doubt = ""
            raise TrainingError(f"Could not {doing}: {sentence(error)}") from error
        self.in_doubt = ""
        if changed:
            self.add(changed)

    @contextmanager
    def told_at_the_end(self) -> Iterator[None]:
        """Whatever ends the work early, the owner is told what is there.

        Raises:
            TrainingError: as inside, and it says so.
        """
        try:
            yield
        except TrainingError as error:
            raise TrainingError(f"{error}\n{self.told()}") from error
        except KeyboardInterrupt:
            print(self.told(), file=sys.stderr, flush=True)
            raise

    def add(self, changed: str) -> None:
        self.done.append(changed)
        say(changed)

    def told(self) -> str:
        """What an owner must know of a run that ended early."""
        if not self.done and not self.in_doubt:
            return "Nothing on the Hub was changed."
        doubt = f"Whether the Hub did {self.in_doubt!r} is not known. " if self.in_doubt else ""
        done = f"Done before, and still so: {'; '.join(self.done)}. " if self.done else ""
        return f"{doubt}{done}{AGAIN}"


def say(line: str) -> None:
    """To the owner, at once. A reader that went away, as of a pipe, ends no push half-way."""
    try:
        # A file's name may be no text at all.
        print(line.encode("utf-8", "replace").decode(), flush=True)
    except OSError:
        # What is still buffered would fail again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

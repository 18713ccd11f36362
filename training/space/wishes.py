"""What a Space is to run: names, settings and hardware, checked by the demo's own rules.

Knows the demo's settings; must not ask the Hub.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from demo.settings import InvalidSetting, read_settings
from training.errors import TrainingError
from training.hub.client import require_name
from training.space.front_matter import HARDWARE


@dataclass(frozen=True)
class Wishes:
    """What the owner named on the command line; empty is "leave it as it is"."""

    space: str
    model: str = ""
    model_revision: str = ""
    tweets_dataset: str = ""
    tweets_revision: str = ""
    counts_dataset: str = ""
    contact: str = ""
    hardware: str = ""
    private: bool = False

    def __post_init__(self) -> None:
        """
        Raises:
            TrainingError: for the first value that cannot be meant.
        """
        names = {"--space": self.space, "--model": self.model,
                 "--tweets-dataset": self.tweets_dataset,
                 "--counts-dataset": self.counts_dataset}  # fmt: skip
        for option, name in names.items():
            if name:
                require_name(option, name)
        for option, revision, of in (
            ("--model-revision", self.model_revision, self.model),
            ("--tweets-revision", self.tweets_revision, self.tweets_dataset),
        ):
            if revision and not of:
                raise TrainingError(f"{option} is {revision!r}, of no repository: name one.")
        if self.hardware and self.hardware not in HARDWARE:
            known = ", ".join(HARDWARE)
            raise TrainingError(f"--hardware is {self.hardware!r}; it must be one of {known}.")

    def pinned(self, model_revision: str, tweets_revision: str) -> "Wishes":
        """The same at commits."""
        return replace(self, model_revision=model_revision, tweets_revision=tweets_revision)

    def variables(self) -> dict[str, str]:
        """Those of the Space's variables that are to be set."""
        given = {
            "MODEL_ID": self.model,
            "MODEL_REVISION": self.model_revision,
            "TWEETS_DATASET": self.tweets_dataset,
            "TWEETS_REVISION": self.tweets_revision,
            "COUNTS_DATASET": self.counts_dataset,
            "CONTACT": self.contact,
        }
        return {name: value for name, value in given.items() if value}


def require_startable(variables: Mapping[str, str]) -> None:
    """Holds variables against the demo's own rules.

    Raises:
        TrainingError: the demo would not start with them.
    """
    try:
        read_settings(variables)
    except InvalidSetting as error:
        raise TrainingError(str(error)) from error

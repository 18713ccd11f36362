"""What `serve` saw, as plain records, and those records as JSON.

Knows what is written down; must not know how it was measured nor how it is shown.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

# What every visitor begins with, by turns.
OPENINGS = ("Why does the lying news media", "The democrats have", "Today I'll be")
App = Literal["ours", "original"]


class Visit(NamedTuple):
    """One text as its visitor saw it, in seconds from sending.

    `first_seconds` is None if no generated character came; `failure` says in a sentence why a
    text was not finished, and is empty for one that was.
    """

    first_seconds: float | None
    seconds: float
    new_tokens: int = 0
    failure: str = ""


@dataclass(frozen=True)
class Wave:
    """Visitors who came at once, each for one text of at most `tokens` tokens.

    `engine` is what the texts say they were made by; `client_cpu_seconds` is what the
    visitors' own process used meanwhile.
    """

    visitors: int
    tokens: int
    engine: str
    client_cpu_seconds: float
    visits: tuple[Visit, ...]

    @property
    def seconds(self) -> float:
        """From the sending, which was the same moment for all, to the last event of the last."""
        return max(visit.seconds for visit in self.visits)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Wave":
        """The wave that `dataclasses.asdict` made this of."""
        return cls(**{**value, "visits": tuple(Visit(*visit) for visit in value["visits"])})


@dataclass(frozen=True)
class Life:
    """One app process, from its start to its end.

    `cold_seconds` is from the start to the first generated character a visitor saw; `memory_mib`
    the PSS of its processes after so many visitors at once (as text, for JSON);
    `outside_cores` how many cores everybody else kept busy meanwhile.
    """

    app: App
    checkpoint: str
    engine: str
    repeat: int
    cold_seconds: float
    seconds: float
    outside_cores: float
    waves: tuple[Wave, ...] = ()
    memory_mib: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Life":
        """The life that `dataclasses.asdict` made this of."""
        return cls(**{**value, "waves": tuple(map(Wave.from_json, value["waves"]))})


@dataclass(frozen=True)
class Observations:
    """One run of `serve`: when, on what, under which conditions, and every app's life."""

    date: str
    machine: str
    conditions: tuple[str, ...]
    lives: tuple[Life, ...]

    def write(self, path: Path) -> None:
        """As JSON, a line for each life."""
        value = dataclasses.asdict(self)
        lives = ",\n".join(json.dumps(life) for life in value.pop("lives"))
        text = json.dumps(value, indent=1).removesuffix("\n}")
        path.write_text(f'{text},\n "lives": [\n{lives}\n]}}\n', encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Observations":
        """What `write` wrote."""
        value = json.loads(path.read_text(encoding="utf-8"))
        lives = tuple(map(Life.from_json, value["lives"]))
        return cls(value["date"], value["machine"], tuple(value["conditions"]), lives)

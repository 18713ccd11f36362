"""Whose tweets a checkpoint imitates, in the words that a page needs: `persona.json`.

Knows words and their limits; must not know how they are laid out, nor models. The file travels
with the checkpoint, so that no name of a person stands in code.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

PERSONA = "persona.json"
MAX_CHARACTERS = 300
MAX_EXAMPLES = 8
PLACE_OF_ID = "{id}"


class InvalidPersona(ValueError):
    """A persona file that cannot be used; the message names the field and its limit."""


@dataclass(frozen=True)
class Persona:
    """The words that depend on whose tweets they are.

    `name` is the person's, `tweets` how a sentence calls the tweets ("Donald Trump's tweets, 2009
    to 2021"), `archive` where they come from. `title` heads the page, `author` and `handle` sign
    the card: of something that nobody takes for the person. `label` goes with every text that
    leaves the page, `badge` is its short form. `examples` are openings to begin with. `link` is
    where a real tweet can be read, with `{id}` in place of its id.
    """

    name: str
    tweets: str
    archive: str
    title: str
    author: str
    handle: str
    label: str
    badge: str
    examples: tuple[str, ...]
    link: str = f"https://x.com/i/status/{PLACE_OF_ID}"

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a `.toml` that an owner wrote, or the `persona.json` that became of it.

        Raises:
            InvalidPersona: it does not exist, cannot be parsed, or a field is missing, unknown,
                empty or too long.
        """
        parse = tomllib.loads if path.suffix == ".toml" else json.loads
        try:
            values = parse(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InvalidPersona(f"{path} could not be read: {error.strerror}.") from error
        except ValueError as error:
            raise InvalidPersona(f"{path} is no {path.suffix[1:].upper()}: {error}.") from error
        return cls._checked(values, path.name)

    @classmethod
    def _checked(cls, values: Any, source: str) -> Self:
        if not isinstance(values, Mapping):
            raise InvalidPersona(f"{source} must be a table of fields.")
        names = [field.name for field in fields(cls)]
        needed = [field.name for field in fields(cls) if field.default is MISSING]
        for name in needed:
            if name not in values:
                raise InvalidPersona(f"{source} lacks {name}; it takes {', '.join(names)}.")
        for name, value in values.items():
            if name not in names:
                raise InvalidPersona(f"{source} has {name!r}; it takes {', '.join(names)}.")
            if name != "examples":
                _require_words(value, f"{source}: {name}")
        examples = values["examples"]
        if not isinstance(examples, list) or not 1 <= len(examples) <= MAX_EXAMPLES:
            raise InvalidPersona(f"{source}: examples must be 1 to {MAX_EXAMPLES} texts.")
        for example in examples:
            _require_words(example, f"{source}: an example")
        _require_template(values.get("link", cls.link), source)
        return cls(**{**values, "examples": tuple(examples)})

    def link_to(self, tweet_id: str) -> str:
        """Where the real tweet of that id can be read."""
        return self.link.replace(PLACE_OF_ID, tweet_id)

    def write(self, folder: Path) -> None:
        """Writes `persona.json` into a checkpoint's folder, or that of prepared data."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (folder / PERSONA).write_text(f"{text}\n", encoding="utf-8")


# Of a checkpoint that does not say whose tweets it imitates.
NOBODY = Persona(
    name="nobody in particular",
    tweets="tweets",
    archive="an archive of tweets",
    title="Computer Dump",
    author="Computer Dump",
    handle="@not_a_real_tweet",
    label="AI-generated parody (not a real tweet)",
    badge="AI-generated parody",
    examples=("Why does the", "Today I'll be"),
)


def persona_of(folder: Path) -> Persona:
    """Of a checkpoint's folder; `NOBODY` where it does not say.

    Raises:
        InvalidPersona: it says so in a file that cannot be used.
    """
    path = folder / PERSONA
    return Persona.read(path) if path.is_file() else NOBODY


def _require_words(value: Any, what: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InvalidPersona(f"{what} must be a text that is not empty.")
    if len(value) > MAX_CHARACTERS:
        raise InvalidPersona(
            f"{what} is {len(value):,} characters; at most {MAX_CHARACTERS} are accepted."
        )


def _require_template(link: str, source: str) -> None:
    if not link.startswith("https://") or link.count(PLACE_OF_ID) != 1:
        raise InvalidPersona(
            f"{source}: link is {link!r}; it must begin with https:// and hold {PLACE_OF_ID} once."
        )

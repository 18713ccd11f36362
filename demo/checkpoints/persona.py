"""Whose tweets a checkpoint imitates, in the words that a page needs: `persona.json`.

The file travels with the checkpoint, so that no name of a person stands in code.
"""

import json
import re
import tomllib
import unicodedata
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from demo.checkpoints.files import EARLY, PERSONA, PrivateCheckpointError, find_file

MAX_BYTES = int(EARLY[PERSONA])
MAX_CHARACTERS = 300
MAX_EXAMPLES = 8
# In characters. A text that is written anew is a prompt by then, and no prompt is longer.
LENGTHS = (140, 1_000)
PLACE_OF_ID = "{id}"

# What a page could take for HTML or for a template's place.
_MARKUP = ("<", ">", "${", "{{")
# Characters that control: line breaks, halves of surrogate pairs, and whatever is not seen itself
# but changes the order or the look of others.
_CONTROL = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Those of them that Persian and many emoji are written with.
_JOINERS = "\u200c\u200d"
_URL_CHARACTERS = r"[\w.~:/?#\[\]@!$&()*+,;=%-]*"
_LINK = re.compile(
    rf"https://[\w.-]+(:\d+)?/{_URL_CHARACTERS}{re.escape(PLACE_OF_ID)}{_URL_CHARACTERS}", re.ASCII
)
_LANGUAGE = re.compile("[a-z]{2,3}")
# Of what a file says, at most so many characters are repeated in a message.
_SHOWN_CHARACTERS = 60


class InvalidPersona(PrivateCheckpointError):
    """A persona file that cannot be used; the message names the field and its limit."""


def _line(value: Any) -> str:
    """One line of plain text; the ValueError ends a sentence that begins with the value's name."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty.")
    if len(value) > MAX_CHARACTERS:
        raise ValueError(f"is {len(value):,} characters; at most {MAX_CHARACTERS} are accepted.")
    for character in value:
        if unicodedata.category(character) in _CONTROL and character not in _JOINERS:
            code = f"U+{ord(character):04X}"
            raise ValueError(f"holds the control character {code}; it must be one line of text.")
    for markup in _MARKUP:
        if markup in value:
            raise ValueError(f"holds {markup!r}; it must be plain text, not markup.")
    return value


def _link(value: Any) -> str:
    """The address of a page, with one place for an id."""
    link = _line(value)
    if not _LINK.fullmatch(link):
        raise ValueError(
            f"is {_shown(link)}; it must begin with https:// and hold {PLACE_OF_ID} once, "
            "with no spaces, quotes or markup."
        )
    return link


def _examples(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_EXAMPLES:
        raise ValueError(f"must be 1 to {MAX_EXAMPLES} texts.")
    return tuple(value)


def _length(value: Any) -> int | None:
    low, high = LENGTHS
    if value is not None and not (type(value) is int and low <= value <= high):
        raise ValueError(f"must be a whole number from {low} to {high:,}.")
    return value


def _language(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and _LANGUAGE.fullmatch(value)):
        raise ValueError("must be an ISO 639 code of two or three letters, such as ja.")
    return value


Line = Annotated[str, BeforeValidator(_line)]


class Persona(BaseModel):
    """The words that depend on whose tweets they are. Each is one line of plain text.

    `tweets` is how a sentence calls them ("Donald Trump's tweets, 2009 to 2021"), `archive` where
    they come from. `author` and `handle` sign the card: of something that nobody takes for the
    person. `label` goes with every text that leaves the page, `badge` is its short form. `examples`
    are openings to begin with. `link` is where a real tweet can be read, with `{id}` in place of
    its id, `language` an ISO 639 code. `max_characters` is the longest text that their platform
    takes, which a generated one is to end within; without it, any length will do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Line
    tweets: Line
    archive: Line
    title: Line
    author: Line
    handle: Line
    label: Line
    badge: Line
    examples: Annotated[tuple[Line, ...], BeforeValidator(_examples)]
    link: Annotated[str, BeforeValidator(_link)] = f"https://x.com/i/status/{PLACE_OF_ID}"
    language: Annotated[str | None, BeforeValidator(_language)] = None
    max_characters: Annotated[int | None, BeforeValidator(_length)] = None

    def __str__(self) -> str:
        """In a line, for a terminal."""
        return f"Persona: {self.name} ({self.tweets}); its page is headed “{self.title}”."

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a `.toml` that an owner wrote, or the `persona.json` that became of it. Raises
        InvalidPersona."""
        values = _parsed(path)
        if not isinstance(values, dict):
            raise InvalidPersona(f"{path.name} must be a table of fields.")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InvalidPersona(f"{path.name}{_first_fault(error)}") from error

    def link_to(self, tweet_id: str) -> str:
        return self.link.replace(PLACE_OF_ID, tweet_id)

    def write(self, folder: Path) -> None:
        """Writes `persona.json` into a checkpoint's folder, or that of prepared data."""
        text = json.dumps(self.model_dump(), indent=2, ensure_ascii=False)
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
    """Of a checkpoint's folder, `NOBODY` where it does not say. Raises CheckpointError."""
    return Persona.read(folder / PERSONA) if find_file(folder, PERSONA) else NOBODY


def _parsed(path: Path) -> Any:
    kind = path.suffix[1:].upper()
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it is larger than the {MAX_BYTES:,} bytes that are read")
        return (tomllib.loads if kind == "TOML" else json.loads)(content.decode("utf-8"))
    except OSError as error:
        raise InvalidPersona(f"{path} could not be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        reason = "it nests too deep" if isinstance(error, RecursionError) else error
        raise InvalidPersona(f"{path} is no {kind} that can be read: {reason}.") from error


def _first_fault(error: ValidationError) -> str:
    """What comes after the file's name in a sentence about its first fault."""
    fault = error.errors()[0]
    if not fault["loc"]:
        return " names a field with half a surrogate pair; write it as plain text."
    name, names = str(fault["loc"][0]), ", ".join(Persona.model_fields)
    if fault["type"] == "missing":
        return f" lacks {name}; it takes {names}."
    if fault["type"] == "extra_forbidden":
        return f" has {_shown(name)}; it takes {names}."
    what = "an example" if len(fault["loc"]) > 1 else name
    return f": {what} {fault['ctx']['error']}"


def _shown(text: str) -> str:
    """In quotes, its beginning if it is long, without characters that a terminal would obey."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")

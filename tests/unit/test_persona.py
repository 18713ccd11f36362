"""A persona travels with its checkpoint, and a wrong one is refused by the field."""

import json
from pathlib import Path
from typing import Any

import pytest

from demo.checkpoints.embedded import EMBEDDED
from demo.checkpoints.files import PERSONA, CheckpointError
from demo.checkpoints.persona import NOBODY, InvalidPersona, Persona, persona_of
from demo.generation.profile import Profile
from demo.server.service import ready
from demo.ui.api import make_generate
from tests.scripted import ScriptedEngine
from training.prepare import PERSONA as OURS

FIELDS: dict[str, Any] = {
    "name": "Tea Pot", "tweets": "Tea Pot's tweets", "archive": "the Teapot Archive",
    "title": "Pot or Kettle?", "author": "Kettle", "handle": "@kettle",
    "label": "made up by a kettle", "badge": "made up", "examples": ["Boil it"],
}  # fmt: skip


def written(folder: Path, **changes: Any) -> Path:
    values = {name: value for name, value in {**FIELDS, **changes}.items() if value is not None}
    path = folder / PERSONA
    path.write_text(json.dumps(values))
    return path


def test_what_an_owner_writes_travels_unchanged(tmp_path: Path) -> None:
    persona = Persona.read(OURS)
    persona.write(tmp_path)
    assert persona_of(tmp_path) == persona
    assert persona_of(EMBEDDED) == persona


def test_a_checkpoint_that_says_nothing_names_nobody(tmp_path: Path) -> None:
    assert persona_of(tmp_path) is NOBODY


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, "persona.json lacks label"),
        ({"label": " "}, "label must be a text that is not empty"),
        ({"title": 7}, "title must be a text"),
        ({"title": "x" * 301}, "title is 301 characters; at most 300"),
        ({"teapots": "x"}, "has 'teapots'"),
        ({"\u202e\n": "x"}, r"has '\\u202e\\n'"),
        ({"\ud83d": "x"}, "half a surrogate pair"),
        ({"examples": []}, "examples must be 1 to 8 texts"),
        ({"examples": ["x"] * 9}, "examples must be 1 to 8 texts"),
        ({"examples": "x"}, "examples must be 1 to 8 texts"),
        ({"examples": [""]}, "an example must be a text"),
        ({"link": "http://x.com/{id}"}, "link is 'http://x.com/{id}'; it must begin with https://"),
        ({"link": "https://x.com/"}, "hold {id} once"),
        ({"link": "https://x.com/{id}/{id}"}, "hold {id} once"),
        ({"link": 7}, "link must be a text"),
        ({"max_characters": 139}, "max_characters must be a whole number from 140 to 1,000"),
        ({"max_characters": 1_001}, "max_characters must be a whole number from 140 to 1,000"),
        ({"max_characters": True}, "max_characters must be a whole number from 140 to 1,000"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidPersona, match=message):
        Persona.read(written(tmp_path, **changes))


def test_one_written_before_there_were_links_has_the_usual_one(tmp_path: Path) -> None:
    persona = Persona.read(written(tmp_path))
    assert persona.link_to("17") == "https://x.com/i/status/17"
    own = Persona.read(written(tmp_path, link="https://teapots.example/{id}/poured"))
    assert own.link_to("17") == "https://teapots.example/17/poured"


@pytest.mark.parametrize("text", ["{", "[]", "nonsense"])
def test_what_is_no_persona_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / PERSONA).write_text(text)
    with pytest.raises(InvalidPersona, match=r"persona\.json"):
        persona_of(tmp_path)


@pytest.mark.parametrize("language", ["Japanese", "", "JA", 5])
def test_a_language_is_a_code(tmp_path: Path, language: object) -> None:
    with pytest.raises(InvalidPersona, match=r"persona\.json: language must be an ISO 639 code"):
        Persona.read(written(tmp_path, language=language))
    assert Persona.read(written(tmp_path, language="ja")).language == "ja"
    assert Persona.read(written(tmp_path)).language is None


def test_every_text_is_labelled_in_the_personas_words(
    tmp_path: Path, engine: ScriptedEngine
) -> None:
    generate = make_generate(ready(engine), Profile(Persona.read(written(tmp_path))))
    records = list(generate("Today"))
    assert {record["label"] for record in records} == {"made up by a kettle"}
    assert "— made up by a kettle, Pot or Kettle? (seed" in records[-1]["shareable"]
    assert "Tea Pot's tweets: made up" in (generate.__doc__ or "")


# What changes the order of other characters, or hides between them.
REORDERING = (
    "\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\U000e0041"
)
TEXTS = ("name", "tweets", "archive", "title", "author", "handle", "label", "badge")


@pytest.mark.parametrize("field", [*TEXTS, "examples", "link"])
@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        ("<img src=x onerror=alert(1)>", "holds '<'"),
        ("a > b", "holds '>'"),
        ("${alert(1)}", r"holds '\$\{'"),
        ("{{constructor}}", "holds '{{'"),
        ("two\nlines", r"control character U\+000A"),
        ("two\u2028lines", r"control character U\+2028"),
        ("a\x00b", r"control character U\+0000"),
        ("a\x1b[2Jb", r"control character U\+001B"),
        *[(f"a{mark}b", rf"control character U\+{ord(mark):04X}") for mark in REORDERING],
        ("half \ud83d", r"control character U\+D83D"),
        ("", "a text that is not empty"),
        ("x" * 301, "is 301 characters; at most 300"),
    ],
)
def test_what_is_no_plain_line_is_refused_in_every_field(
    tmp_path: Path, field: str, attack: str, reason: str
) -> None:
    value = [attack] if field == "examples" else attack
    what = "an example" if field == "examples" else field
    with pytest.raises(InvalidPersona, match=rf"persona\.json: {what} .*{reason}"):
        Persona.read(written(tmp_path, **{field: value}))


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)//{id}",
        'https://x.com/{id}" onmouseover="alert(1)',
        "https://x.com/{id}' onmouseover='alert(1)",
        "https://x.com/ {id}",
        "https://someone@x.com/{id}",
        "https:///{id}",
        "https://{id}",
        "https://x.com/{ID}",
        "https://x.com/{id}\\a",
        "https://x.com/\u0456/{id}",
    ],
)
def test_a_link_is_a_plain_address(tmp_path: Path, link: str) -> None:
    with pytest.raises(
        InvalidPersona, match=r"persona\.json: link is ['\"].* with no spaces, quotes"
    ):
        Persona.read(written(tmp_path, link=link))


@pytest.mark.parametrize(
    "text",
    [
        "Conan O'Brien",
        'Dwayne "The Rock" Johnson',
        "Marks & Spencer",
        "1 {2} $3 `4` 50% #5 \\6",
        "小泉 純一郎",
        "محمد بن راشد",
        "می‌خواهم",
        "👩‍👩‍👧‍👦 🏳️‍🌈",
        "José Ñandú, Łódź, Ελλάδα",
    ],
)
def test_names_of_all_kinds_are_accepted(tmp_path: Path, text: str) -> None:
    fields = {**dict.fromkeys(TEXTS, text), "examples": [text]}
    persona = Persona.read(written(tmp_path, **fields))
    assert {getattr(persona, name) for name in TEXTS} == {text} == set(persona.examples)
    persona.write(tmp_path)
    assert persona_of(tmp_path) == persona


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 90_000,
        b'{"name": ' * 9_000,
        b" " * 100_001,
        b'{"name": "\xff"}',
    ],
)
def test_a_file_that_cannot_be_parsed_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PERSONA).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"persona\.json") as refused:
        persona_of(tmp_path)
    assert len(str(refused.value)) < len(str(tmp_path)) + 300


def test_a_refusal_repeats_no_more_than_the_beginning(tmp_path: Path) -> None:
    attack = "<script>" + "x" * 280
    for changes in ({"title": attack}, {"link": attack}, {attack: "x"}, {"examples": [attack]}):
        with pytest.raises(InvalidPersona) as refused:
            Persona.read(written(tmp_path, **changes))
        assert "x" * 70 not in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_persona_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        NOBODY.name = "somebody"

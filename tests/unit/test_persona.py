"""A persona travels with its checkpoint, and a wrong one is refused by the field."""

import json
from pathlib import Path
from typing import Any

import pytest

from demo.checkpoints.persona import NOBODY, PERSONA, InvalidPersona, Persona, persona_of
from demo.generation.introduction import Introduction
from demo.server.service import ready
from demo.ui.api import make_generate
from tests.scripted import ScriptedEngine
from training.card import EMBEDDED
from training.prepare import PERSONA as OURS

FIELDS: dict[str, Any] = {
    "name": "Tea Pot", "tweets": "Tea Pot's tweets", "archive": "the Teapot Archive",
    "title": "Pot or Kettle?", "author": "Kettle", "handle": "@kettle",
    "label": "made up by a kettle", "badge": "made up", "examples": ["Boil <b>it</b>"],
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
        ({"examples": []}, "examples must be 1 to 8 texts"),
        ({"examples": ["x"] * 9}, "examples must be 1 to 8 texts"),
        ({"examples": "x"}, "examples must be 1 to 8 texts"),
        ({"examples": [""]}, "an example must be a text"),
        ({"link": "http://x.com/{id}"}, "link is 'http://x.com/{id}'; it must begin with https://"),
        ({"link": "https://x.com/"}, "hold {id} once"),
        ({"link": "https://x.com/{id}/{id}"}, "hold {id} once"),
        ({"link": 7}, "link must be a text"),
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


def test_every_text_is_labelled_in_the_personas_words(
    tmp_path: Path, engine: ScriptedEngine
) -> None:
    generate = make_generate(ready(engine), Introduction(Persona.read(written(tmp_path))))
    records = list(generate("Today"))
    assert {record["label"] for record in records} == {"made up by a kettle"}
    assert "— made up by a kettle, Pot or Kettle? (seed" in records[-1]["shareable"]
    assert "Tea Pot's tweets: made up" in (generate.__doc__ or "")

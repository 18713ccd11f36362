"""Requests: what is accepted, what is refused, and in which words."""

import dataclasses
from typing import Any

import pytest

from demo.generation.request import (
    FIELDS,
    MAX_PROMPT_CHARACTERS,
    MAX_SEED,
    GenerationRequest,
    InvalidRequest,
    NumberField,
    draw_seed,
)

fields = pytest.mark.parametrize("field", FIELDS.values(), ids=list(FIELDS))


def refusal(**values: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        GenerationRequest(**values)
    return str(caught.value)


@fields
def test_the_table_and_the_request_have_the_same_defaults(field: NumberField) -> None:
    declared = {field.name: field.default for field in dataclasses.fields(GenerationRequest)}
    assert declared[field.name] == field.default


@fields
def test_the_limits_themselves_are_accepted(field: NumberField) -> None:
    for limit in (field.minimum, field.maximum):
        given: dict[str, Any] = {field.name: limit}
        request = GenerationRequest(**given)
        assert getattr(request, field.name) == limit


@fields
def test_beyond_a_limit_the_field_the_value_and_the_limits_are_named(field: NumberField) -> None:
    for value in (field.minimum - 1, field.maximum + 1):
        message = refusal(**{field.name: value})
        assert message.startswith(f"{field.name} is {value}; it must be from ")
        assert message.endswith(f"{field.minimum:g} to {field.maximum:,.10g}.")


@fields
@pytest.mark.parametrize("value", ["5", True, [5], {}, float("nan"), float("inf"), -float("inf")])
def test_what_is_not_a_finite_number_is_refused(field: NumberField, value: object) -> None:
    assert refusal(**{field.name: value}).startswith(f"{field.name} must be a ")


@fields
def test_a_monstrous_integer_is_refused_in_a_short_sentence(field: NumberField) -> None:
    assert len(refusal(**{field.name: 10**5_000})) < 120


def test_no_number_is_refused_where_none_is_drawn() -> None:
    assert "not null" in refusal(temperature=None)


def test_a_refusal_names_no_type_of_python() -> None:
    said = "must be a whole number from 0 to 2,147,483,647"
    assert refusal(seed="abc") == f"seed {said}."
    assert refusal(seed=[1]) == f"seed {said}, not a list."
    assert refusal(seed={}) == f"seed {said}, not an object."


def test_whole_numbers_stay_whole() -> None:
    request = GenerationRequest(max_new_tokens=20.0, top_k=3.0)  # type: ignore[arg-type]
    assert (request.max_new_tokens, request.top_k) == (20, 3)
    assert isinstance(request.max_new_tokens, int)
    assert "whole number" in refusal(max_new_tokens=20.5)


def test_a_seed_is_drawn_once_when_none_is_given() -> None:
    request = GenerationRequest()
    assert request.seed == request.seed
    assert isinstance(request.seed, int)
    assert 0 <= request.seed <= MAX_SEED
    assert len({GenerationRequest().seed for _ in range(20)}) > 1
    assert GenerationRequest(seed=0).seed == 0


def test_a_drawn_seed_is_within_its_field() -> None:
    assert all(FIELDS["seed"].validate(draw_seed()) is not None for _ in range(1_000))


def test_the_longest_prompt_is_accepted_and_one_more_character_is_not() -> None:
    GenerationRequest(prompt="é" * MAX_PROMPT_CHARACTERS)
    message = refusal(prompt="é" * (MAX_PROMPT_CHARACTERS + 1))
    assert message == "prompt is 1,001 characters; at most 1,000 are accepted. Shorten it."


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\x85", "\ud83d"])
def test_control_characters_and_halves_of_characters_are_refused(character: str) -> None:
    assert f"U+{ord(character):04X}" in refusal(prompt=f"tea{character}pot")


@pytest.mark.parametrize(
    "prompt", ["", "line\nline\ttab\r\n", "🇩🇰 👩‍🚀 e\u0301 \u200f", "<|endoftext|>"]
)
def test_ordinary_text_of_any_script_is_accepted(prompt: str) -> None:
    assert GenerationRequest(prompt=prompt).prompt == prompt


@pytest.mark.parametrize("prompt", [None, 5, b"bytes", ["text"]])
def test_a_prompt_that_is_no_text_is_refused(prompt: object) -> None:
    assert refusal(prompt=prompt).startswith("prompt must be a text, not ")


def test_the_model_reads_the_prompt_without_trailing_space() -> None:
    request = GenerationRequest(prompt=" The teapot \n")
    assert request.opening == " The teapot"
    assert request.prompt == " The teapot \n"


def test_settings_are_all_but_the_prompt_in_the_tables_order() -> None:
    request = GenerationRequest(prompt="tea", seed=7)
    assert list(request.settings()) == list(FIELDS)
    assert GenerationRequest("tea", **request.settings()) == request


def test_a_request_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GenerationRequest().seed = 3  # type: ignore[misc]

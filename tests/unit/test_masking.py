"""Slurs are masked as whole words, at any moment of a stream, and nothing else is."""

from random import Random

import pytest

from demo.checkpoints.persona import NOBODY
from demo.game.pool import TextSource
from demo.game.tweets import DisplayRules
from demo.generation.engine import Chunk, Ending
from demo.generation.request import GenerationRequest
from demo.judging.judges import Judges
from demo.judging.masking import SLURS, mask_slurs, masked, unmasked
from demo.ui.results import Draft
from tests.guessing import written
from tests.scripted import REAL_TWEET, ScriptedEngine, scripted_judges

ENDING = Ending("end_of_tweet", 1, 4, 60, 0.1, 0.2)
SLUR = SLURS[1]


@pytest.mark.parametrize("word", SLURS)
def test_each_word_is_masked_in_any_case_and_in_the_plural(word: str) -> None:
    plural = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    for form in (word, word.upper(), word.title(), plural):
        assert mask_slurs(f"A {form}!") == f"A {masked(form)}!"
        assert masked(form)[1:-1] == "*" * (len(form) - 2)


@pytest.mark.parametrize("text", ["f4ggot", "F@GG0T", "r3tards", "n1gg3r", "k!ke"])
def test_a_digit_or_sign_for_a_vowel_hides_nothing(text: str) -> None:
    assert "*" in mask_slurs(f"say {text}, say")


@pytest.mark.parametrize(
    "text",
    [
        "Scunthorpe", "retardant", "retardation", "snigger", "sniggers", "niggardly", "Niger",
        "Nigeria", "gobbledygook", "Gookin", "Kikes2go", "3gook", "transistor", "trannysomething",
        "beanery", "fire-retardants", "Ügook", "gookü", "日gook", "wet back", "f4 got", "0.4",
        "g00gle", "",
    ],
)  # fmt: skip
def test_innocent_words_stay(text: str) -> None:
    assert mask_slurs(text) == text


def test_signs_emoji_and_other_scripts_around_a_word_are_no_part_of_it() -> None:
    for around in ("🦜{}🦜", "“{}”", "#{}", "_{}_", "日 {} 日", "e\u0301 {}", "{}\u200b", "\n{}\n"):
        text = around.format(SLUR)
        assert mask_slurs(text) == around.format(masked(SLUR))
        assert len(mask_slurs(text)) == len(text)


def test_letters_that_case_folding_makes_longer_leave_the_length() -> None:
    text = f"İstanbul, Straße, ﬁsh, {SLUR}, ſ K"
    assert len(mask_slurs(text)) == len(text)
    assert SLUR not in mask_slurs(text)


def draft(prompt: str, *pieces: str, judges: Judges | None = None) -> list[Draft]:
    """A text after each piece of a stream."""
    drafts = [Draft(NOBODY, GenerationRequest(prompt, seed=1))]
    for i, piece in enumerate(pieces):
        ending = ENDING if i == len(pieces) - 1 else None
        drafts.append(drafts[-1].extend(Chunk(piece, ending), judges or Judges()))
    return drafts[1:]


def test_a_word_that_a_later_chunk_completes_is_masked() -> None:
    whole = f"What a {SLUR}, they said"
    for cut in range(len(whole)):
        for one in draft("", whole[:cut], whole[cut:]):
            result = one.result()
            assert SLUR not in result.text + result.generated + result.shareable
    assert result.text == f"What a {masked(SLUR)}, they said"


def test_so_is_a_word_that_begins_in_the_opening() -> None:
    result = draft(f"You {SLUR[:3]}", f"{SLUR[3:]} and more")[-1].result()
    assert result.prompt == f"You {SLUR[:3]}"
    assert result.text == f"You {masked(SLUR)} and more"
    assert result.generated == result.text[len(result.prompt) :]
    assert SLUR not in result.shareable


def test_a_word_that_grows_into_an_innocent_one_is_shown_again() -> None:
    first, last = draft("", "Fire retard", "ant foam")
    assert first.result().text == "Fire r****d"
    assert last.result().text == "Fire retardant foam"


def test_counts_and_offsets_are_those_of_the_text() -> None:
    words = f" said the {SLUR}: {REAL_TWEET}"
    (one,) = draft("He", words, judges=scripted_judges())
    result = one.result()
    ((start, end),) = result.repeats
    assert result.text[start:end] == REAL_TWEET
    assert result.characters == len(result.text) == len("He" + words)


def test_one_setting_turns_it_off() -> None:
    result = Draft(NOBODY, GenerationRequest("", seed=1), generated=SLUR, mask=unmasked).result()
    assert result.text == SLUR


def test_the_game_takes_no_text_that_a_mask_would_give_away() -> None:
    real = [f"The teapot is a great one, number {i}" for i in range(30)]
    rules = DisplayRules.from_texts(real)
    request = GenerationRequest("", seed=1)
    text = f"The teapot is a {SLUR}, believe me."
    for mask, is_taken in ((mask_slurs, False), (unmasked, True)):
        source = TextSource(
            real, rules, request, lambda _: True, lambda _: False, lambda _: False,
            lambda _: None, Random(1), mask,
        )  # fmt: skip
        taken = source.accept(request, written(request, text, ScriptedEngine().identity))
        assert (taken is not None) is is_taken

"""Figures of texts, on texts small enough to count by hand."""

import numpy as np
import pytest

from demo.judging.originals import windows_of
from training.text_figures import count, describe, novelty, public_handles, ratio, repeating

TEAPOTS = "The teapot counts the harbor"
LONG = " ".join(f"word{i}" for i in range(12))
# Five words of 50 characters.
FIFTY = "abcdefghij klmnopqrst uvwxyzabcd efghijklmn opqrst"


def test_every_share_by_hand() -> None:
    found = describe(
        ["@teapot SAD news for Kettles!", "#Harbor is fine", "a b c d a b c d"],
        frozenset({"@teapot"}),
        [True, True, False],
    )
    assert found.texts == 3
    assert found.distinct_1 == pytest.approx(12 / 16)
    assert found.distinct_2 == pytest.approx(10 / 13)
    # The 4-gram "a b c d" comes twice among the 5 of its text; the first text has 2, the second 0.
    assert found.repetition == pytest.approx(1 / 7)
    assert found.within_280 == pytest.approx(2 / 3)
    assert found.public_handles == found.hashtags == found.exclamations == pytest.approx(1 / 3)
    assert found.shouted == pytest.approx(1 / 8)
    assert found.capitals == pytest.approx(5 / 43)
    assert found.length == pytest.approx((15.0, 15.0, 26.2))


def test_a_text_over_280_characters_is_not_within_even_if_it_ended() -> None:
    assert describe(["a" * 281, "b" * 280], frozenset()).within_280 == 0.5


def test_only_handles_of_real_tweets_are_public() -> None:
    public = public_handles(["@Teapot thanks @user"])
    texts = ["Thank you @user!", "@user and @TEAPOT", "@made_up", "none"]
    assert describe(texts, public).public_handles == 1 / 4


def test_figures_of_resampled_texts_are_those_of_the_texts() -> None:
    """Of a text twice and another not at all, and of each once."""
    texts = ["AB cd!", "#efgh ij kl mn"]
    capitals = count(texts, frozenset())["capitals"][np.array([[0, 0], [0, 1]])]
    assert ratio(capitals).tolist() == [0.5, pytest.approx(2 / 14)]
    assert describe(texts, frozenset()).capitals == pytest.approx(2 / 14)


def test_novelty_is_what_no_known_text_has() -> None:
    known = ["one two three four five six"]
    shares = novelty(["one two three four five seven", "a b c"], known)
    assert shares[5] == pytest.approx(1 / 2)
    assert shares[6] == 1
    assert shares[7] == 0  # there is no 7-gram to be new


def test_words_of_a_script_without_spaces_are_counted() -> None:
    text = "古い急須が朝の台所で静かにお茶を飲んでいる"
    shares = novelty([text], [text[:12]])
    assert 0 < shares[5] < 1
    assert describe([text], frozenset()).distinct_2 > 0


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("before " + " ".join(LONG.split()[2:10]) + " after", True),
        ("before " + " ".join(LONG.split()[2:9]) + " after", False),
        (f"x {FIFTY} y", True),
        (f"x {FIFTY[:-1]} y", False),
        (f"{LONG.upper()}!", True),
        ("", False),
    ],
)
def test_verbatim_is_eight_words_or_fifty_characters(text: str, repeats: bool) -> None:
    assert repeating([text], windows_of([LONG, FIFTY])) == [repeats]


def test_each_text_that_repeats_is_found() -> None:
    assert repeating([LONG, TEAPOTS, "other"], windows_of([LONG])) == [True, False, False]

"""Figures of texts, on texts small enough to count by hand."""

import math

import pytest

from training.text_figures import describe, novelty, self_bleu, share_repeating

TEAPOTS = "The teapot counts the harbor"
LONG = " ".join(f"word{i}" for i in range(12))
# Five words of 50 characters.
FIFTY = "abcdefghij klmnopqrst uvwxyzabcd efghijklmn opqrst"


def test_every_share_by_hand() -> None:
    found = describe(
        ["@teapot SAD news for Kettles!", "#Harbor is fine", "a b c d a b c d"], [True, True, False]
    )
    assert found.texts == 3
    assert found.distinct_1 == pytest.approx(12 / 16)
    assert found.distinct_2 == pytest.approx(10 / 13)
    # The 4-gram "a b c d" comes twice among the 5 of its text; the first text has 2, the second 0.
    assert found.repetition == pytest.approx(1 / 7)
    assert found.within_280 == pytest.approx(2 / 3)
    assert found.handles == found.hashtags == found.exclamations == pytest.approx(1 / 3)
    assert found.shouted == pytest.approx(1 / 8)
    assert found.capitals == pytest.approx(5 / 43)
    assert found.length == pytest.approx((15.0, 15.0, 26.2))


def test_a_text_over_280_characters_is_not_within_even_if_it_ended() -> None:
    assert describe(["a" * 281, "b" * 280]).within_280 == 0.5


def test_self_bleu_of_equal_and_of_unlike_texts() -> None:
    words = TEAPOTS.split()
    assert self_bleu([words, words]) == pytest.approx(1)
    assert self_bleu([words, ["nothing", "here", "is", "alike"]]) == 0
    assert self_bleu([words]) == 0


def test_self_bleu_by_hand() -> None:
    """Against "a b c d x", "a b c d e" matches 4 of 5, 3 of 4, 2 of 3 and 1 of 2 n-grams."""
    expected = math.exp(sum(map(math.log, (4 / 5, 3 / 4, 2 / 3, 1 / 2))) / 4)
    texts = [["a", "b", "c", "d", "e"], ["a", "b", "c", "d", "x"]]
    assert self_bleu(texts) == pytest.approx(expected)


def test_self_bleu_punishes_texts_shorter_than_all_others() -> None:
    short, long = ["a", "b", "c", "d"], ["a", "b", "c", "d", "e", "f", "g", "h"]
    both = self_bleu([short, long])
    precise_long = math.exp(sum(map(math.log, (4 / 8, 3 / 7, 2 / 6, 1 / 5))) / 4)
    assert both == pytest.approx((math.exp(1 - 8 / 4) + precise_long) / 2)


def test_novelty_is_what_no_known_text_has() -> None:
    known = ["one two three four five six"]
    shares = novelty(["one two three four five seven", "a b c"], known)
    assert shares[5] == pytest.approx(1 / 2)
    assert shares[6] == 1
    assert shares[7] == 0  # there is no 7-gram to be new


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
    assert share_repeating([text], [LONG, FIFTY]) == repeats


def test_the_share_of_texts_that_repeat() -> None:
    assert share_repeating([LONG, TEAPOTS, "other"], [LONG]) == pytest.approx(1 / 3)

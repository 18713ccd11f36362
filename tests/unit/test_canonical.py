"""The canonical text of a tweet, rule by rule, on made-up tweets."""

import html
import re
import unicodedata

import pytest

from demo.judging import canonical
from tests import made_up


@pytest.mark.parametrize("raw", ["RT @a: hello", '"@a: hello" thanks', "“@a hello” thanks"])
def test_a_retweet_made_by_hand_is_recognised(raw: str) -> None:
    assert canonical.is_manual_retweet(raw)


@pytest.mark.parametrize(
    ("raw", "bare"),
    [
        ("RT @a: hello", "hello"),
        ('"@a hello" @b', '"hello" @b'),
        ("“@a: @b hello” thanks", "“@b hello” thanks"),
        ("RT if you agree", "RT if you agree"),
    ],
)
def test_what_a_retweet_by_hand_repeats(raw: str, bare: str) -> None:
    assert canonical.strip_retweet_opening(raw) == bare


@pytest.mark.parametrize(
    "raw", ["@a hello", ".@a hello", 'He said "@a', "RT if you agree", "@RT @"]
)
def test_a_tweet_that_only_mentions_is_no_retweet(raw: str) -> None:
    assert not canonical.is_manual_retweet(raw)


@pytest.mark.parametrize(
    "raw",
    [
        "to be continued…",
        "continued… ",
        "continued… https://t.co/x",
        "a… http://a.b pic.twitter.com/c",
    ],
)
def test_a_text_that_ends_in_an_ellipsis_is_cut_off(raw: str) -> None:
    assert canonical.is_cut_off(raw)


@pytest.mark.parametrize("raw", ["wait… what", "well...", "see… this https://t.co/x"])
def test_an_ellipsis_elsewhere_is_not_a_cut(raw: str) -> None:
    assert not canonical.is_cut_off(raw)


def test_entities_are_unescaped_once_and_links_go() -> None:
    assert canonical.strip_links("tea &amp;amp; cake https://t.co/x!").rstrip() == "tea &amp; cake"
    assert canonical.strip_links("see pic.twitter.com/abc now") == "see  now"


def test_a_word_with_amp_in_it_stays_whole() -> None:
    """The original deleted `amp` everywhere: "campaign" became "cign"."""
    assert canonical.strip_links("campaign &amp; camp") == "campaign & camp"


def test_a_decomposed_accent_is_composed() -> None:
    assert canonical.strip_links("cafe\u0301") == "caf\u00e9"


def test_a_handle_is_public_from_twenty_texts_on_whatever_its_case() -> None:
    texts = ["@Kettle @kettle hi"] * 19
    assert canonical.public_handles(texts) == frozenset()
    assert canonical.public_handles([*texts, "@KETTLE"]) == {"@kettle"}


def test_private_handles_become_user_and_white_space_collapses() -> None:
    text = canonical.finish("  @Kettle\n\tand @mrs_teapot  talk ", frozenset({"@kettle"}))
    assert text == "@Kettle and @user talk"


@pytest.mark.parametrize(
    "text",
    [
        "short but three",
        "@user @user @user nice teapots",
        "#one #two #three #four tea set",
        "12345 67890 !!! 123 456 go on",
    ],
)
def test_too_few_characters_or_words_are_dropped(text: str) -> None:
    assert canonical.is_too_short(text)


@pytest.mark.parametrize("text", ["exactly twenty chars", "“Tea” is 4 everyone, 24/7"])
def test_twenty_characters_and_three_words_are_enough(text: str) -> None:
    assert not canonical.is_too_short(text)


def test_a_handle_behind_punctuation_is_no_word() -> None:
    assert canonical.is_too_short(".@wonderful_teapot (@another_teapot) is nice")


@pytest.mark.parametrize(
    ("raw", "bare"),
    [
        ("見て https://t.co/abcこれは", "見て これは"),
        ("https://example.comを見て", "を見て"),
        ("http://日本語.jp/x です", " です"),
        ("https://t.co/abc。次", "。次"),
        ("https://t.co/abcللعالم", "للعالم"),
        ("https://t.co/éé/ñ", ""),
        ("pic.twitter.com/abcด้วย", "ด้วย"),
    ],
)
def test_a_link_ends_where_another_script_begins(raw: str, bare: str) -> None:
    assert canonical.strip_links(raw) == bare


def test_a_handle_ends_where_a_script_without_spaces_begins() -> None:
    assert canonical.finish("@tanakaさん、どうも", frozenset()) == "@userさん、どうも"


@pytest.mark.parametrize(
    "text",
    [
        "今日は港でパンを焼いた。",
        "แมวตัวเล็กนอนอยู่บนหลังคา",
        "ဒီနေ့မနက်မိုးရွာတယ်",
        "오늘은 항구에서 빵을 구웠고 고양이가 보았다",
        "في الصباح تنظر القطة إلى المطر",
        "आज सुबह बिल्ली ने बारिश देखी",
    ],
)
def test_a_text_in_any_script_is_long_enough(text: str) -> None:
    assert not canonical.is_too_short(text)


@pytest.mark.parametrize("text", ["今日は雨だ", "…………。。。。！！！！", "ねこ https"])
def test_a_text_in_a_script_without_spaces_may_be_too_short(text: str) -> None:
    assert canonical.is_too_short(text)


def test_an_emoji_is_no_word() -> None:
    assert canonical.is_too_short("two nice ❤️ ❤️ 🫖 ❤️ ❤️ #teapots")


def test_where_words_have_spaces_between_them_the_rules_are_the_simple_ones() -> None:
    """Those of version 1, by which the figures of the model card were measured."""
    raws = [row["text"] for row in made_up.varied(2_000)]
    raws += [
        "Tea &amp; cake https://t.co/x!”…",
        "Café @Éclair… pic.twitter.com/é/ü?x=1 ❤️",
        "U.S./tea 24/7",
    ]
    for raw in raws:
        unescaped = unicodedata.normalize("NFC", html.unescape(raw))
        bare = re.sub(r"https?://\S+|pic\.twitter\.com/\S+", "", unescaped)
        assert canonical.strip_links(raw) == bare
        text = " ".join(re.sub(r"@\w{1,15}", "@user", bare).split())
        assert canonical.finish(bare, frozenset()) == text
        words = [re.sub(r"^[^\w@#]+", "", word) for word in text.split()]
        count = sum(
            w[:1] not in ("@", "#") and re.search(r"[^\W\d_]", w) is not None for w in words
        )
        assert canonical.is_too_short(text) == (len(text) < 20 or count < 3)

"""The guessing game's rules, each by itself: what may be shown, what is dealt, what a ticket is."""

import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from statistics import mean
from urllib.parse import quote

import pytest

from demo.game.pairing import (
    BATCH,
    MAX_MISMATCHES,
    MAX_MISSES,
    Deal,
    Dealer,
    Deck,
    SeenEverything,
    Shown,
    StyleScore,
    Visits,
)
from demo.game.pool import GeneratedText, Pool, TextSource
from demo.game.scores import Counts, Everyone, Tally
from demo.game.tickets import Refused, Tickets
from demo.game.tweets import DisplayRules, Dullness, Tweet
from demo.generation.engine import EngineIdentity
from demo.generation.request import GenerationRequest
from tests import made_up
from tests.guessing import written

REAL = ("The kettle follows the teapot, and @teapots sings: “tea” 🫖!", "A teapot paints the town.")
IDENTITY = EngineIdentity("scripted", "0123456789ab", "script", "exact")


def text_of(length: int, number: int) -> str:
    """A different one for each number."""
    return f"{number} ".ljust(length, "x")


def dealer(
    real: Sequence[int], written: Sequence[GeneratedText], capacity: int | None = None
) -> tuple[Dealer, Pool]:
    """Over real texts of these lengths and a pool of these generated ones."""
    pool = Pool(capacity or len(written) + 1)
    for one in written:
        assert pool.put(one)
    tweets = [Tweet(str(i), "", text_of(length, i)) for i, length in enumerate(real)]
    chance = random.Random(1)
    style = StyleScore([tweet.text for tweet in tweets])
    return Dealer(tweets, Deck(real, chance), style, pool, chance, Visits()), pool


def generated(lengths: Sequence[int], root: int | None = None) -> list[GeneratedText]:
    return [
        GeneratedText(text_of(length, -i), "source", root) for i, length in enumerate(lengths, 1)
    ]


def deals(of: Dealer, rounds: int, visit: str | None = None) -> list[Deal]:
    """So many rounds, of a new visit each if none is named."""
    found = [of.deal(visit) for _ in range(rounds)]
    return [deal for deal in found if deal]


def test_half_of_what_is_shown_is_real() -> None:
    table, _ = dealer([50] * 1_000, generated([50] * 1_000))
    counts = Counter(deal.shown.truth for deal in deals(table, 1_000))
    # Six standard deviations of a fair coin: one run in half a billion.
    assert 405 < counts["real"] < 595
    assert counts.total() == 1_000


@pytest.mark.slow
def test_half_of_twenty_thousand_rounds_is_real() -> None:
    tables = (dealer([50] * 40, generated([50] * 40))[0] for _ in range(500))
    counts = Counter(deal.shown.truth for table in tables for deal in deals(table, 40))
    # Six standard deviations of a fair coin.
    assert 9_576 < counts["real"] < 10_424
    assert counts.total() == 20_000


def test_a_length_says_nothing_even_if_it_is_rare_among_real_ones() -> None:
    table, _ = dealer([40] * 4_000 + [200] * 500, generated([40, 201] * 1_000))
    shown = [deal.shown for deal in deals(table, 800)]
    for is_long in (False, True):
        truths = [one.truth for one in shown if (len(one.text) > 100) == is_long]
        assert 0.35 < truths.count("real") / len(truths) < 0.65
        assert len(truths) > 300


def marked(count: int, share: float, seed: int) -> list[str]:
    """Made-up texts of one length, so many of which end with an exclamation mark."""
    chance = random.Random(seed)
    return [
        f"{seed + i} a tea pot".ljust(59, "x") + ("!" if chance.random() < share else ".")
        for i in range(count)
    ]


def dealer_that_knows(real: Sequence[str], written: Sequence[str]) -> tuple[Dealer, Pool]:
    """Over these texts, the generated ones of which it has learnt from."""
    style, chance, pool = StyleScore(real), random.Random(1), Pool(1_000)
    for text in written:
        style.learn(text)
        assert pool.put(GeneratedText(text, ""))
    tweets = [Tweet(str(i), "", text) for i, text in enumerate(real)]
    deck = Deck([len(text) for text in real], chance)
    return Dealer(tweets, deck, style, pool, chance, Visits()), pool


def test_what_one_kind_has_more_of_is_as_frequent_in_both_once_it_is_known() -> None:
    real, written = marked(800, 0.4, 1_000), marked(800, 0.8, 9_000)
    table, _ = dealer_that_knows(real, written)
    shown = [deal.shown for deal in deals(table, 400)]
    shares = [
        mean(one.text.endswith("!") for one in shown if one.truth == truth)
        for truth in ("real", "computer")
    ]
    assert abs(shares[0] - shares[1]) < 0.2
    assert len(shown) > 300


def test_a_model_whose_texts_look_like_none_is_played_all_the_same() -> None:
    real, written = marked(400, 0.0, 1_000), marked(400, 1.0, 9_000)
    table, pool = dealer_that_knows(real, written)
    assert table.deal(None)
    assert len(pool.texts()) >= 400 - MAX_MISMATCHES - 1


def test_nothing_is_known_of_looks_before_there_are_texts_enough_to_learn_from() -> None:
    real, generated = marked(100, 0.5, 100), marked(BATCH, 1.0, 200)
    style = StyleScore([*real, "100 a teapot sings!", "100 a teapot sings."])
    for text in generated[1:]:
        style.learn(text)
    assert style.distances([100, 101], "200 a teapot sings!").tolist() == [0, 0]
    style.learn(generated[0])
    near, far = style.distances([100, 101], "200 a teapot sings!")
    assert near < far


def test_without_a_real_one_as_long_a_text_is_not_shown() -> None:
    table, pool = dealer([50] * 30, generated([54]))
    assert table.deal(None) is None
    assert pool.texts() == []


@pytest.mark.parametrize(("length", "found"), [(46, []), (47, [0]), (51, [0]), (53, [1]), (58, [])])
def test_the_nearest_in_length_is_taken_and_none_beyond_three(
    length: int, found: list[int]
) -> None:
    deck = Deck([50, 54], random.Random())
    assert [deck.wants(length) for _ in range(20)] == [bool(found)] * 20
    assert deck.near(length)[:1] == found


def test_a_tie_is_drawn() -> None:
    deck = Deck([49, 51], random.Random())
    assert {deck.near(50)[0] for _ in range(100)} == {0, 1}


def test_no_real_one_comes_again_before_the_deck_is_gone_through() -> None:
    deck = Deck([50, 51, 52, 53, 80], random.Random())
    for expected in range(4):
        assert deck.wants(50)
        assert deck.near(50)[0] == expected
        deck.take(expected)
    assert deck.near(50) == []
    assert not deck.wants(50)


def test_a_deck_of_which_no_model_writes_the_rest_counts_as_gone_through() -> None:
    deck = Deck([50, 80], random.Random())
    deck.take(0)
    assert [deck.wants(50) for _ in range(MAX_MISSES)] == [False] * (MAX_MISSES - 1) + [True]
    assert deck.near(50) == [0]
    # One that is wanted starts the count anew.
    deck.take(0)
    asked = [deck.wants(length) for length in (50, 80) * MAX_MISSES]
    assert asked == [False, True] * MAX_MISSES


def test_what_was_not_shown_goes_back() -> None:
    table, pool = dealer([50] * 40, generated([50] * 40))
    shown = [deal.shown for deal in deals(table, 40)]
    left = {one.text for one in pool.texts()}
    assert len(left) == 40 - sum(one.truth == "computer" for one in shown)


def test_a_generated_text_is_shown_once() -> None:
    table, pool = dealer([50] * 400, generated([50] * 40))
    texts = [deal.shown.text for deal in deals(table, 400) if deal.shown.truth == "computer"]
    assert len(texts) == len(set(texts))
    assert pool.texts() == []
    (again, *_) = generated([50])
    assert not pool.put(again)


def test_nothing_comes_twice_in_a_visit_nor_a_tweet_beside_what_its_opening_began() -> None:
    written = [GeneratedText(text_of(50, -i), "", opened_by=i % 30) for i in range(1, 91)]
    roots = {one.text: one.opened_by for one in written}
    table, _ = dealer([50] * 30, written)
    first = table.deal(None)
    assert first
    shown = [first.shown, *(deal.shown for deal in deals(table, 25, first.visit))]
    seen = [int(one.tweet.id) if one.tweet else roots[one.text] for one in shown]
    assert len(seen) > 20
    assert len(seen) == len(set(seen))


def test_who_has_seen_everything_is_told_and_others_play_on() -> None:
    table, pool = dealer([50] * 3, generated([50] * 60))
    visit = deals(table, 1)[0].visit
    numbers = count(1_000)

    def play_on() -> None:
        for _ in range(100):
            # Full, as the filler would keep it.
            while not pool.is_full():
                pool.put(GeneratedText(text_of(50, next(numbers)), ""))
            table.deal(visit)

    with pytest.raises(SeenEverything):
        play_on()
    assert table.deal(None)


def test_an_unknown_visit_becomes_a_new_one_and_the_oldest_is_forgotten() -> None:
    visits = Visits(max_visits=2)
    assert visits.known("0" * 32) != "0" * 32
    for visit in ("a", "b", "a", "c"):
        visits.add(visit, 5)
    assert (visits.known("a"), visits.known("c")) == ("a", "c")
    assert visits.known("b") != "b"
    assert len(visits.known(None)) == 32


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (" The teapot  sings\nof  its tea ", "The teapot sings of its tea"),
        ("Tea sings &amp; @Teapots pour it", "Tea sings & @Teapots pour it"),
        # A handle that the real ones do not name would become @user.
        ("Tea sings &amp; @Teapots and @kettle pour", None),
        ("The teapot sings of tea https://t.co/x", "The teapot sings of tea"),
        ("The teapot says “tea” to the 🫖", "The teapot says “tea” to the 🫖"),
        # Bytes that are no character, a control character, one that no real text has.
        ("The teapot sings of \ufffd and tea", None),
        ("The teapot sings of \x07 and tea", None),
        ("The teapot sings of the naïve tea", None),
        # It would still change if it were cleaned again.
        ("The teapot sings of tea &amp;amp; sugar", None),
        # What prepare drops.
        ("RT @teapots: The teapot sings of tea", None),
        ("“@teapots: The teapot sings of tea”", None),
        ("The teapot sings of its tea…", None),
        ("The teapot sings of its tea… https://t.co/x", None),
        ("Short tea, no?", None),
        ("The teapot sings " + "and sings " * 27, None),
        # A real tweet, whatever its case.
        ("a TEAPOT paints the town.", None),
    ],
)  # fmt: skip
def test_a_generated_text_looks_as_prepared_ones_do_or_is_not_shown(
    raw: str, shown: str | None
) -> None:
    assert DisplayRules.from_texts(REAL).clean(raw) == shown


@pytest.mark.parametrize(
    "text",
    [
        "x " * 141, "Short tea, no?", "The teapot sings \ufffd of tea",
        "The teapot sings \x85 of tea", "The teapot sings of tea &amp; sugar",
    ],
)  # fmt: skip
def test_a_real_text_that_would_be_known_by_a_flaw_is_not_shown(text: str) -> None:
    assert not DisplayRules.from_texts([*REAL, text]).allow(text)
    assert DisplayRules.from_texts(REAL).allow(REAL[0])


SOURCE = TextSource(
    texts=REAL,
    rules=DisplayRules.from_texts(REAL),
    defaults=GenerationRequest(top_k=7),
    is_wanted=lambda length: True,
    repeats=lambda text: False,
    is_dull=lambda text: False,
    learn=lambda text: None,
    rng=random.Random(3),
)


def test_half_begins_with_the_opening_words_of_a_real_tweet() -> None:
    drawn = [SOURCE.want(lambda _: True).request for _ in range(400)]
    begun = [request.prompt.split() for request in drawn if request.prompt]
    assert 140 < len(begun) < 260
    for opening in begun:
        (real,) = (text.split() for text in REAL if text.startswith(" ".join(opening)))
        assert 2 <= len(opening) <= 5
        assert opening == real[: len(opening)]
        assert len(opening) < len(real)
    assert {(request.top_k, request.max_new_tokens) for request in drawn} == {(7, 160)}
    assert len({request.seed for request in drawn}) > 390


def accepted(source: TextSource, text: str, prompt: str = "") -> GeneratedText | None:
    request = GenerationRequest(prompt=prompt)
    return source.accept(request, written(request, text, IDENTITY), opened_by=0)


def test_a_text_of_which_hardly_a_word_is_new_is_not_taken() -> None:
    prompt = "The kettle follows the teapot,"
    assert accepted(SOURCE, f"{prompt} and so?", prompt) is None
    taken = accepted(SOURCE, f"{prompt} and so on.", prompt)
    assert taken
    assert (taken.text, taken.opened_by) == ("The kettle follows the teapot, and so on.", 0)
    assert taken.source.startswith("scripted@0123456789ab · script exact · seed ")
    # Also of a script without spaces.
    unspaced = replace(
        SOURCE, rules=DisplayRules.from_texts(["朝の台所で歌っているやかんが静かに。"])
    )
    text = "やかんが朝の台所で静かに歌っている。"
    assert accepted(unspaced, text)
    assert accepted(unspaced, text, text[:-1]) is None


def test_a_text_that_repeats_a_real_one_or_has_no_twin_is_not_taken() -> None:
    text = "The teapot sings of tea."
    assert accepted(SOURCE, text)
    assert accepted(replace(SOURCE, repeats=lambda text: True), text) is None
    unwanted = replace(SOURCE, is_wanted=lambda length: length != len(text))
    assert accepted(unwanted, text) is None


def test_a_dull_text_is_not_taken() -> None:
    text = "The teapot sings of tea."
    dull = replace(SOURCE, is_dull=lambda found: found == text)
    assert accepted(dull, text) is None
    assert accepted(dull, "The kettle sings of tea.")


def test_a_text_of_common_words_is_dull() -> None:
    chatter = ["Thank you @teapots, so true, working hard!"] * 15
    chance = random.Random(1)
    dullness = Dullness.from_texts([*chatter, *(made_up.sentence(chance) for _ in range(85))])
    assert dullness.is_dull("Thank you @teapots and @kettle2, so true, so hard!")
    assert not dullness.is_dull("A zebra ate Wilma’s azure teacosy, thank you!")


def test_no_more_than_a_fifth_is_dull_however_few_words_an_archive_has() -> None:
    same = [f"The teapot sings of tea, says @user{number}" for number in range(50)]
    dullness = Dullness.from_texts(same)
    assert not any(dullness.is_dull(text) for text in same)


def test_a_free_place_is_filled_after_the_answer_and_not_when_a_text_is_shown() -> None:
    """Else the engine's work would tell that what is on the page was generated."""
    pool = Pool(capacity=4)
    for one in generated([50] * 4):
        assert pool.want(SOURCE)
        pool.put(one)
    assert pool.want(SOURCE) is None
    pool.remove(pool.texts()[0])
    assert pool.want(SOURCE) is None
    pool.refill()
    assert pool.want(SOURCE)


REAL_ONE = Shown("The teapot sings.", "real")


def refusal(tickets: Tickets, ticket: str) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        tickets.redeem(ticket)
    return caught.value.status, str(caught.value)


def test_a_ticket_is_good_once() -> None:
    tickets = Tickets()
    ticket = tickets.issue(REAL_ONE)
    assert tickets.redeem(ticket).truth == "real"
    assert refusal(tickets, ticket) == (409, "That one has been answered already.")


def test_a_ticket_is_as_long_whatever_is_dealt_and_a_url_may_contain_it() -> None:
    tickets = Tickets()
    computer = Shown("x" * 280, "computer", source="s" * 300)
    issued = {tickets.issue(shown) for shown in (REAL_ONE, computer) for _ in range(50)}
    assert {len(ticket) for ticket in issued} == {32}
    assert {quote(ticket, safe="") for ticket in issued} == issued
    assert len(issued) == 100


def test_a_ticket_that_was_never_issued_is_refused_and_uses_nothing_up() -> None:
    tickets = Tickets()
    ticket, other = tickets.issue(REAL_ONE), tickets.issue(REAL_ONE)
    for malformed in ("", "nonsense", "ü" * 32, ticket[:-4], f"{ticket}\n", ticket + other):
        assert refusal(tickets, malformed) == (400, "That is not a ticket of this game.")
    for unknown in (ticket[:16] + other[16:], Tickets().issue(REAL_ONE)):
        assert refusal(tickets, unknown)[0] == 410
    assert tickets.redeem(ticket).truth == "real"


def test_a_ticket_is_good_for_an_hour_and_the_oldest_are_forgotten() -> None:
    now = 0.0
    tickets = Tickets(clock=lambda: now, max_tickets=2)
    first, second, third = (tickets.issue(REAL_ONE) for _ in range(3))
    assert refusal(tickets, first)[0] == 410
    now = 3_600.0
    assert tickets.redeem(second)
    now = 3_601.0
    assert refusal(tickets, third) == (410, "That round is over: it was dealt too long ago.")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"7", b"null", b'{"answers": -1}', b'{"answers": 1.5}',
        b'{"answers": true}', b'{"answers": "1"}', b'{"answers": 1, "right": 2}',
        b'{"detector_right": 1}', b'{"teapots": 1}', b"[" * 100_000, b"\xff",
    ],
)  # fmt: skip
def test_what_is_no_tally_is_not_taken_for_one(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Tally.read(content)


def test_a_tally_comes_back_as_it_was_written() -> None:
    assert Tally.read(Tally(9, 5, 8, 4).as_json()) == Tally(9, 5, 8, 4)


def test_no_answer_is_lost_among_threads() -> None:
    counts = Counts()

    def answer(_: int) -> None:
        for _ in range(500):
            counts.add(True, False)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(answer, range(8)))
    assert counts.everyone() == Everyone(4_000, 4_000, 4_000, 0, kept=False)

"""The game as a whole: rounds, the tickets that answer them, and how the parts are wired."""

import secrets
import threading
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from datetime import date
from random import Random
from typing import Literal, Protocol

from demo.checkpoints.hub import HubError, fetch_files
from demo.checkpoints.persona import Persona
from demo.game.daily import PLACES, DailyTen, DayCount, number_of, split_off, utc_today
from demo.game.pairing import (
    Dealer,
    Deck,
    SeenEverything,
    Shown,
    StyleScore,
    Truth,
    Visits,
    tweet_beside,
)
from demo.game.pool import CAPACITY, Pool, TextSource
from demo.game.scores import Counts, Everyone
from demo.game.tickets import Refused, Tickets
from demo.game.tweets import (
    FILES,
    DisplayRules,
    Dullness,
    NoTweets,
    RealTweets,
    Tweet,
    link_to,
    read_tweets,
)
from demo.generation.idle import IdleWriter, Want, Wanted, Written
from demo.generation.profile import Profile
from demo.judging.judges import Judges
from demo.judging.originals import windows_of
from demo.settings import Settings

Say = Callable[[str], None]

PATIENCE_SECONDS = 30.0
# With fewer, a visitor would soon have seen them all.
MIN_TWEETS = 20

NO_TWEETS = (
    "The guessing game needs real tweets, and this demo was started without any. Its owner turns "
    "it on by setting TWEETS or TWEETS_DATASET; the README says what to put there."
)
UNUSABLE_TWEETS = "The guessing game is off: its real tweets could not be read."
NOTHING_AHEAD = "The guessing game is off: here no text is written before it is asked for."
NO_TWINS = "This text fools nobody: it is too short, too long, cut off, or much like a real tweet."
NOT_YET = "The real tweets are still being read. Try again in a moment."
SEEN_EVERYTHING = "You have seen every tweet there is to guess. Play again to start over."
TOO_FEW_FOR_DAILY = "There is no Daily Ten here: it takes more real tweets than this demo has."
DAY_OVER = "That day's ten are over. Today's are waiting for you."


class Model(Protocol):
    """What the game asks of the model that answers, and tells of its real tweets; a Service is one.

    mask: what becomes of a text before it is sent.
    """

    mask: Callable[[str], str]

    def judges(self) -> Judges: ...

    def hide(self, windows: Container[bytes]) -> None:
        """Keeps `/detect` from finding windows of text with these digests."""


@dataclass(frozen=True)
class Round:
    """What `next` returns. Unless `state` is "ready", there is no visit, ticket or text; `reason`
    says why the game is "off"."""

    state: Literal["ready", "waiting", "off"]
    everyone: Everyone
    visit: str = ""
    ticket: str = ""
    text: str = ""
    reason: str = ""


@dataclass(frozen=True)
class DailyRound:
    """What `daily` returns: a place of the Daily Ten. Unless `state` is "ready", there is no ticket
    or text; `day` is an ISO date in UTC."""

    state: Literal["ready", "waiting", "off"]
    day: str
    number: int
    ticket: str = ""
    text: str = ""
    reason: str = ""


@dataclass(frozen=True)
class DetectorGuess:
    """What the detector says of a round's text, and whether it is right."""

    probability: float
    says: Truth
    right: bool


@dataclass(frozen=True)
class Revealed:
    """What an answer reveals: a real tweet's ISO date and link, or a generated text's source and
    label; `detector` is None without one, `today` but for the Daily Ten."""

    truth: Truth
    right: bool
    detector: DetectorGuess | None
    everyone: Everyone
    date: str = ""
    link: str | None = None
    source: str = ""
    label: str = ""
    today: DayCount | None = None


@dataclass(frozen=True)
class RealTwin:
    """What `twin` returns: a generated text as it is shown beside a real tweet, and that tweet's
    text, ISO date and link."""

    text: str
    real: str
    date: str
    link: str | None


@dataclass(frozen=True)
class _Table:
    """What is played with, once the tweets were read: `persona` is whose they are, `twins` those
    that friends are fooled with."""

    persona: Persona
    dealer: Dealer
    daily: DailyTen
    rules: DisplayRules
    twins: Sequence[Tweet]


class Game:
    """Everything behind the page. Safe to use from many threads: its parts are used by one thread
    at a time."""

    def __init__(
        self,
        model: Model,
        profile: Profile,
        counts: Counts,
        writer: IdleWriter,
        *,
        off: str = "",
        capacity: int = CAPACITY,
    ) -> None:
        """`off` tells visitors why there is no game; empty if there is one, or not known yet."""
        self._model, self._profile, self._counts = model, profile, counts
        self._writer, self.off, self._pool = writer, off, Pool(capacity)
        self._tickets = Tickets()
        self._table: _Table | None = None
        self._lock = threading.Lock()

    def begin(self, open_tweets: Callable[[], RealTweets], say: Say) -> None:
        """Reads the tweets in a thread of its own; returns at once."""
        arguments = (open_tweets, say)
        threading.Thread(target=self._run, args=arguments, name="guessing", daemon=True).start()

    def next(self, visit: str | None) -> Round:
        """The next round of a visit; of a new visit if it is not known."""
        everyone = self._counts.everyone()
        if self.off:
            return Round("off", everyone, reason=self.off)
        with self._lock:
            try:
                deal = self._table.dealer.deal(visit) if self._table else None
            except SeenEverything:
                return Round("off", everyone, reason=SEEN_EVERYTHING)
            if deal is None:
                return Round("waiting", everyone)
            ticket = self._tickets.issue(deal.shown)
        return Round("ready", everyone, deal.visit, ticket, deal.shown.text)

    def daily(self, day: str | None, place: int) -> DailyRound:
        """A place of the Daily Ten, from 1: of today's, or of the day that a visitor began. Raises
        Refused if there is no such place, or that day is over."""
        if not 1 <= place <= PLACES:
            raise Refused(400, f"place must be from 1 to {PLACES}.")
        ten = self._table.daily if self._table else None
        wanted = utc_today() if day is None else _read_day(day)
        told = DailyRound("waiting", wanted.isoformat(), number_of(wanted))
        if self.off or (ten and not ten.exists()):
            return replace(told, state="off", reason=self.off or TOO_FEW_FOR_DAILY)
        if ten is None:
            return told
        with self._lock:
            if not ten.has(wanted):
                raise Refused(410, DAY_OVER)
            shown = ten.at(wanted, place - 1)
            if shown is None:
                return told
            ticket = self._tickets.issue(shown)
        return replace(told, state="ready", ticket=ticket, text=shown.text)

    def answer(self, ticket: str, guess: str) -> Revealed:
        """Reveals the truth of a round, and counts who was right. Raises Refused if it is no guess,
        or the ticket is not valid."""
        if guess not in ("real", "computer"):
            raise Refused(400, "A guess is either real or computer.")
        with self._lock:
            shown = self._tickets.redeem(ticket)
            table = self._table
            # Without tweets no ticket was issued.
            assert table
            self._pool.refill()
            right = guess == shown.truth
            today = table.daily.count(shown, not right)
        detector = self._ask_detector(shown)
        self._counts.add(right, detector.right if detector else None)
        everyone = self._counts.everyone()
        revealed = Revealed(shown.truth, right, detector, everyone, today=today)
        if tweet := shown.tweet:
            return replace(revealed, date=tweet.day, link=link_to(tweet, table.persona))
        return replace(revealed, source=shown.source, label=self._profile.persona.label)

    def twin(self, text: str, seed: int) -> RealTwin:
        """A real tweet to show beside a text of the model. Raises Refused if there is none."""
        if self.off:
            raise Refused(404, self.off)
        table = self._table
        if table is None:
            raise Refused(503, NOT_YET)
        clean = table.rules.clean(text)
        tweet = tweet_beside(clean, seed, table.twins) if clean else None
        if clean is None or tweet is None:
            raise Refused(400, NO_TWINS)
        return RealTwin(clean, tweet.text, tweet.day, link_to(tweet, table.persona))

    def close(self) -> None:
        """Saves the counts, in bounded time."""
        self._counts.close()

    def _run(self, open_tweets: Callable[[], RealTweets], say: Say) -> None:
        try:
            self._table = self._set(open_tweets())
        except Exception as error:
            is_ours = isinstance(error, NoTweets | HubError)
            reason = error if is_ours else f"{type(error).__name__} while its tweets were read."
            say(f"There is no guessing game. {reason}")
            self.off = UNUSABLE_TWEETS

    def _set(self, real: RealTweets) -> _Table:
        """Wires the parts over these tweets, and has texts written; raises NoTweets if too few of
        them may be shown."""
        rng: Random = secrets.SystemRandom()
        rules = DisplayRules.from_texts(real.texts)
        allowed = [tweet for tweet in real.tweets if rules.allow(tweet.text)]
        # Fool a friend tells of these that they are real, so the game deals others if it can.
        spare = [tweet for tweet in real.spare if rules.allow(tweet.text)]
        # Else /detect, which knows all real tweets, would tell what is being guessed.
        self._model.hide(windows_of(tweet.text for tweet in (*allowed, *spare)))
        dullness = Dullness.from_texts(real.texts)
        shown = [tweet for tweet in allowed if not dullness.is_dull(tweet.text)]
        if len(shown) < MIN_TWEETS:
            raise NoTweets(f"Only {len(shown)} tweets may be shown; it takes {MIN_TWEETS}.")
        tweets, reserved = split_off(shown)
        texts = [tweet.text for tweet in tweets]
        deck, style = Deck([len(text) for text in texts], rng), StyleScore(texts)
        source = TextSource(
            texts, rules, self._profile.defaults, deck.wants, self._repeats, dullness.is_dull,
            style.learn, rng, self._model.mask,
        )  # fmt: skip
        daily = DailyTen(reserved, source)
        self._writer.add(self._locked(lambda: self._pool.want(source)))
        self._writer.add(self._locked(daily.want))
        dealer = Dealer(tweets, deck, style, self._pool, rng, Visits())
        persona = real.persona or self._profile.persona
        return _Table(persona, dealer, daily, rules, spare or tweets)

    def _locked(self, want: Want) -> Want:
        """Keeps the writer's thread from the parts while a visitor's request uses them."""

        def locked() -> Wanted | None:
            with self._lock:
                wanted = want()
            return wanted and Wanted(wanted.request, lambda written: take(wanted, written))

        def take(wanted: Wanted, written: Written) -> bool:
            with self._lock:
                return wanted.take(written)

        return locked

    def _repeats(self, text: str) -> bool:
        return bool(self._model.judges().repeats(text))

    def _ask_detector(self, shown: Shown) -> DetectorGuess | None:
        detector = self._model.judges().detector
        if detector is None:
            return None
        probability = detector.judge(shown.text).probability
        says: Truth = "computer" if probability >= 0.5 else "real"
        return DetectorGuess(probability, says, says == shown.truth)


def _read_day(day: str) -> date:
    try:
        return date.fromisoformat(day)
    except ValueError:
        raise Refused(400, "day must be a date such as 2026-11-26.") from None


def build_game(
    model: Model, profile: Profile, settings: Settings, writer: IdleWriter, say: Say
) -> Game:
    """The game that the settings ask for, begun; or one that says why it is off."""
    counts, folder = Counts(), settings.tweets
    off = "" if settings.tweets_dataset or folder else NO_TWEETS
    if not off and settings.zero_gpu:
        # ZeroGPU lends a GPU for each text that a visitor asks for, and charges the visitor for it.
        off = NOTHING_AHEAD
    game = Game(model, profile, counts, writer, off=off)
    if off:
        return game

    def open_tweets() -> RealTweets:
        if settings.tweets_dataset:
            dataset, revision = settings.tweets_dataset, settings.tweets_revision
            return read_tweets(fetch_files(dataset, revision, FILES, PATIENCE_SECONDS, "dataset"))
        assert folder is not None
        return read_tweets(folder)

    game.begin(open_tweets, say)
    if settings.counts_dataset:
        counts.keep(settings.counts_dataset, say)
    return game

"""The game as a whole: rounds, the tickets that answer them, and how the parts are wired."""

import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from demo.checkpoints.hub import HubError, fetch_files
from demo.game.pairing import Dealer, Deck, SeenEverything, Shown, StyleScore, Truth, Visits
from demo.game.pool import PAUSE_SECONDS, Filler, Pool, TextSource
from demo.game.scores import Counts, Everyone
from demo.game.tweets import FILES, DisplayRules, NoTweets, RealTweets, link_to, read_tweets
from demo.game.twins import Twins, find_twins
from demo.generation.profile import Profile
from demo.judging.originals import window_digests
from demo.server.service import Service
from demo.settings import Settings

Say = Callable[[str], None]

STOP_SECONDS = 5.0
PATIENCE_SECONDS = 30.0
# With fewer, a visitor would soon have seen them all.
MIN_TWEETS = 20
TICKET_BYTES = 24
TICKET = re.compile(r"[A-Za-z0-9_-]{32}")
MAX_TICKETS = 20_000
MAX_AGE_SECONDS = 3_600.0

NO_TWEETS = (
    "The guessing game needs real tweets, and this demo was started without any. Its owner turns "
    "it on by setting TWEETS or TWEETS_DATASET; the README says what to put there."
)
UNUSABLE_TWEETS = "The guessing game is off: its real tweets could not be read."
NOTHING_AHEAD = "The guessing game is off: here no text is written before it is asked for."
NO_TWINS = "This text fools nobody: it is too short, too long, cut off, or much like a real tweet."
NOT_YET = "The real tweets are still being read. Try again in a moment."
SEEN_EVERYTHING = "You have seen every tweet there is to guess. Reload the page to start over."


class Refused(ValueError):
    """A request that cannot be served; the message is fit for a visitor, `status` is HTTP's."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


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
class DetectorGuess:
    """What the detector says of a round's text, and whether it is right."""

    probability: float
    says: Truth
    right: bool


@dataclass(frozen=True)
class Revealed:
    """What an answer reveals: a real tweet's ISO date and link, or a generated text's source and
    label; `detector` is None without one."""

    truth: Truth
    right: bool
    detector: DetectorGuess | None
    everyone: Everyone
    date: str = ""
    link: str | None = None
    source: str = ""
    label: str = ""


@dataclass(frozen=True)
class RealTwin:
    """What `twin` returns: a generated text as it is shown beside a real tweet, and that tweet's
    text, ISO date and link."""

    text: str
    real: str
    date: str
    link: str | None


class Tickets:
    """Rounds that wait for their answer; each is answered once, within the hour. A ticket is random
    and says nothing of its round. Safe to use from many threads."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, max_tickets: int = MAX_TICKETS
    ) -> None:
        self._clock, self._max_tickets = clock, max_tickets
        # When each was issued, and for what. Answered ones stay, without their text, so that a
        # second answer is told why it is refused.
        self._issued: OrderedDict[str, tuple[float, Shown | None]] = OrderedDict()
        self._lock = threading.Lock()

    def issue(self, shown: Shown) -> str:
        """A new ticket: 32 characters that a URL may contain."""
        ticket = secrets.token_urlsafe(TICKET_BYTES)
        with self._lock:
            self._issued[ticket] = (self._clock(), shown)
            if len(self._issued) > self._max_tickets:
                self._issued.popitem(last=False)
        return ticket

    def redeem(self, ticket: str) -> Shown:
        """Uses the ticket up and returns what was shown. Raises Refused if it is not a ticket,
        unknown, too old or used up."""
        if not TICKET.fullmatch(ticket):
            raise Refused(400, "That is not a ticket of this game.")
        with self._lock:
            issued = self._issued.get(ticket)
            if issued is None or self._clock() - issued[0] > MAX_AGE_SECONDS:
                raise Refused(410, "That round is over: it was dealt too long ago.")
            issued_at, shown = issued
            if shown is None:
                raise Refused(409, "That one has been answered already.")
            self._issued[ticket] = (issued_at, None)
            return shown


class Game:
    """Everything behind the page. Safe to use from many threads."""

    def __init__(
        self,
        service: Service,
        profile: Profile,
        counts: Counts,
        *,
        off: str = "",
        pool: Pool | None = None,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """`off` tells visitors why there is no game; empty if there is one."""
        self._service, self._profile, self._counts = service, profile, counts
        # Whose the real tweets are.
        self._persona = profile.persona
        self._off, self._pool, self._pause_seconds = off, pool or Pool(), pause_seconds
        self._tickets = Tickets()
        self._dealer: Dealer | None = None
        self._find_twins: Callable[[str, int], Twins | None] | None = None
        self._filler: Filler | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def begin(self, open_tweets: Callable[[], RealTweets], say: Say) -> None:
        """Reads the tweets and has texts written, in a thread of its own; returns at once."""
        self._thread = threading.Thread(
            target=self._run, args=(open_tweets, say), name="guessing", daemon=True
        )
        self._thread.start()

    def why_off(self) -> str:
        """Tells visitors why there is no game, if that is known already; else empty."""
        return self._off

    def next(self, visit: str | None) -> Round:
        """The next round of a visit; of a new visit if it is not known."""
        everyone = self._counts.everyone()
        if self._off:
            return Round("off", everyone, reason=self._off)
        try:
            deal = self._dealer.deal(visit) if self._dealer else None
        except SeenEverything:
            return Round("off", everyone, reason=SEEN_EVERYTHING)
        if deal is None:
            return Round("waiting", everyone)
        ticket = self._tickets.issue(deal.shown)
        return Round("ready", everyone, deal.visit, ticket, deal.shown.text)

    def answer(self, ticket: str, guess: str) -> Revealed:
        """Reveals the truth of a round, and counts who was right. Raises Refused if it is no guess,
        or the ticket is not valid."""
        if guess not in ("real", "computer"):
            raise Refused(400, "A guess is either real or computer.")
        shown = self._tickets.redeem(ticket)
        self._pool.refill()
        right, detector = guess == shown.truth, self._ask_detector(shown)
        self._counts.add(right, detector.right if detector else None)
        everyone = self._counts.everyone()
        revealed = Revealed(shown.truth, right, detector, everyone)
        if tweet := shown.tweet:
            return replace(revealed, date=tweet.day, link=link_to(tweet, self._persona))
        return replace(revealed, source=shown.source, label=self._profile.persona.label)

    def twin(self, text: str, seed: int) -> RealTwin:
        """A real tweet to show beside a text of the model. Raises Refused if there is none."""
        if self._off:
            raise Refused(404, self._off)
        if self._find_twins is None:
            raise Refused(503, NOT_YET)
        found = self._find_twins(text, seed)
        if found is None:
            raise Refused(400, NO_TWINS)
        tweet = found.tweet
        return RealTwin(found.text, tweet.text, tweet.day, link_to(tweet, self._persona))

    def leave(self) -> None:
        """Stops writing texts, within a few tokens."""
        self._closed = True
        if self._filler:
            self._filler.close()

    def close(self) -> None:
        """Stops writing and saves the counts, in bounded time."""
        self.leave()
        if self._thread:
            self._thread.join(STOP_SECONDS)
        self._counts.close()

    def _run(self, open_tweets: Callable[[], RealTweets], say: Say) -> None:
        try:
            filler = self._prepare(open_tweets())
        except Exception as error:
            is_ours = isinstance(error, NoTweets | HubError)
            reason = error if is_ours else f"{type(error).__name__} while its tweets were read."
            say(f"There is no guessing game. {reason}")
            self._off = UNUSABLE_TWEETS
            return
        self._filler = filler
        # `leave` may have been called before there was a filler to close.
        if not self._closed:
            filler.run()

    def _prepare(self, real: RealTweets) -> Filler:
        """Wires the parts over these tweets; raises NoTweets if too few of them may be shown."""
        rng: Random = secrets.SystemRandom()
        rules = DisplayRules.from_texts(real.texts)
        tweets = [tweet for tweet in real.tweets if rules.allow(tweet.text)]
        if len(tweets) < MIN_TWEETS:
            raise NoTweets(f"Only {len(tweets)} tweets may be shown; it takes {MIN_TWEETS}.")
        texts = [tweet.text for tweet in tweets]
        # Else /detect, which knows all real tweets, would tell what is being guessed.
        self._service.hide(frozenset(digest for text in texts for digest in window_digests(text)))
        self._persona = real.persona or self._persona
        deck, style = Deck([len(text) for text in texts], rng), StyleScore(texts)
        source = TextSource(
            texts, rules, self._profile.defaults, deck.wants, self._repeats, style.learn, rng,
            self._service.mask,
        )  # fmt: skip
        self._find_twins = lambda text, seed: find_twins(text, seed, tweets, rules)
        self._dealer = Dealer(tweets, deck, style, self._pool, rng, Visits())
        return Filler(self._service, self._pool, source, self._pause_seconds)

    def _repeats(self, text: str) -> bool:
        return bool(self._service.judges().repeats(text))

    def _ask_detector(self, shown: Shown) -> DetectorGuess | None:
        detector = self._service.judges().detector
        if detector is None:
            return None
        probability = detector.judge(shown.text).probability
        says: Truth = "computer" if probability >= 0.5 else "real"
        return DetectorGuess(probability, says, says == shown.truth)


def build_game(service: Service, profile: Profile, settings: Settings, say: Say) -> Game:
    """The game that the settings ask for, begun; or one that says why it is off."""
    counts, folder = Counts(), settings.tweets
    off = "" if settings.tweets_dataset or folder else NO_TWEETS
    if not off and settings.zero_gpu:
        # ZeroGPU lends a GPU for each text that a visitor asks for, and charges the visitor for it.
        off = NOTHING_AHEAD
    game = Game(service, profile, counts, off=off)
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

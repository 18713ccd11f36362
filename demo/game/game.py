"""The game: what is dealt, what an answer reveals, and everything that takes.

Knows its parts and how they are wired; must not know HTTP or pages.
"""

import secrets
import threading
from collections.abc import Callable
from random import Random
from typing import Any

from demo.game.deck import Deck
from demo.game.filler import PAUSE_SECONDS, Filler
from demo.game.fitness import Fitness
from demo.game.in_play import InPlay
from demo.game.orders import Orders
from demo.game.pairing import Dealer, SeenEverything, Shown, Visits
from demo.game.pool import Pool
from demo.game.scores import Counts
from demo.game.surface import Surface
from demo.game.tickets import Refused, Tickets
from demo.game.tweets import NoTweets, RealTweets, fetch_tweets, link_to, read_tweets
from demo.generation.introduction import Introduction
from demo.server.service import Service
from demo.settings import Settings

# JSON as the page gets it; the keys are this module's to say.
Record = dict[str, Any]
Say = Callable[[str], None]

GUESSES = ("real", "computer")
STOP_SECONDS = 5.0
# With fewer, a visitor would soon have seen them all.
MIN_TWEETS = 20

NO_TWEETS = (
    "The guessing game needs real tweets, and this demo was started without any. Its owner turns "
    "it on by setting TWEETS or TWEETS_DATASET; the README says what to put there."
)
UNUSABLE_TWEETS = "The guessing game is off: its real tweets could not be read."
NOTHING_AHEAD = "The guessing game is off: here no text is written before it is asked for."
SEEN_EVERYTHING = "You have seen every tweet there is to guess. Reload the page to start over."
INVALID_GUESS = "A guess is either real or computer."


class Game:
    """Everything behind the page. Safe to use from many threads."""

    def __init__(
        self,
        service: Service,
        introduction: Introduction,
        counts: Counts,
        *,
        off: str = "",
        fill: bool = True,
        pool: Pool | None = None,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """`off` is a sentence for visitors that says why there is no game; without `fill`
        nothing is written before it is asked for, and there is none either."""
        self._service, self._introduction, self._counts = service, introduction, counts
        self._off = off if fill else NOTHING_AHEAD
        self._pool = pool or Pool()
        self._pause_seconds = pause_seconds
        self._persona = introduction.persona
        self._tickets = Tickets()
        self._in_play = InPlay()
        service.hide(self._in_play)
        self._dealer: Dealer | None = None
        self._filler: Filler | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def begin(self, open_tweets: Callable[[], RealTweets], say: Say) -> None:
        """Reads the tweets and has texts written, in a thread of its own; returns at once. A game
        that is off stays off."""
        if self._off:
            return
        self._thread = threading.Thread(
            target=self._run, args=(open_tweets, say), name="guessing", daemon=True
        )
        self._thread.start()

    def why_off(self) -> str:
        """A sentence for visitors, if it is known already that there is no game; else empty."""
        return self._off

    def next(self, visit: str | None) -> Record:
        """The next round of a visit; of a new one, if it is not known."""
        if self._off:
            return {"state": "off", "reason": self._off}
        try:
            deal = self._dealer.deal(visit) if self._dealer else None
        except SeenEverything:
            return {"state": "off", "reason": SEEN_EVERYTHING}
        if deal is None:
            return {"state": "waiting"}
        self._in_play.add(deal.shown.text)
        return {
            "state": "ready",
            "visit": deal.visit,
            "ticket": self._tickets.issue(deal),
            "text": deal.shown.text,
            "everyone": self._counts.record(),
        }

    def answer(self, ticket: str, guess: str) -> Record:
        """The truth of a round, and who was right.

        Raises:
            Refused: no such guess, or the ticket is not good, or not any more.
        """
        if guess not in GUESSES:
            raise Refused(400, INVALID_GUESS)
        shown = self._tickets.redeem(ticket)
        self._in_play.remove(shown.text)
        self._pool.refill()
        right = guess == shown.truth
        detector = self._detector(shown)
        self._counts.add(right, detector["right"] if detector else None)
        return {
            "truth": shown.truth,
            "right": right,
            "detector": detector,
            **self._origin(shown),
            "everyone": self._counts.record(),
        }

    def leave(self) -> None:
        """Leaves the engine, soon."""
        self._closed = True
        if self._filler:
            self._filler.close()

    def close(self) -> None:
        """Leaves the engine and keeps the counts, in bounded time."""
        self.leave()
        if self._thread:
            self._thread.join(STOP_SECONDS)
        self._counts.close()

    def _run(self, open_tweets: Callable[[], RealTweets], say: Say) -> None:
        try:
            filler = self._prepare(open_tweets())
        except NoTweets as error:
            say(f"There is no guessing game. {error}")
            self._off = UNUSABLE_TWEETS
            return
        except Exception as error:
            say(f"There is no guessing game: {type(error).__name__} while its tweets were read.")
            self._off = UNUSABLE_TWEETS
            return
        self._filler = filler
        # Closed before there was anything to close.
        if not self._closed:
            filler.run()

    def _prepare(self, real: RealTweets) -> Filler:
        """Raises:
        NoTweets: too few of them may be shown.
        """
        chance: Random = secrets.SystemRandom()
        fitness = Fitness.of(real.texts)
        tweets = [tweet for tweet in real.shown if fitness.fits_real(tweet.text)]
        if len(tweets) < MIN_TWEETS:
            raise NoTweets(f"Only {len(tweets)} tweets may be shown; it takes {MIN_TWEETS}.")
        texts = [tweet.text for tweet in tweets]
        deck, surface = Deck([len(text) for text in texts], chance), Surface(texts)
        orders = Orders(
            texts,
            fitness,
            self._introduction.defaults,
            deck.wants,
            self._repeats,
            surface.learn,
            chance,
        )
        self._persona = real.persona or self._persona
        self._dealer = Dealer(tweets, deck, surface, self._pool, chance, Visits())
        return Filler(self._service, self._pool, orders.draw, orders.accept, self._pause_seconds)

    def _repeats(self, text: str) -> bool:
        return bool(self._service.judges().repeats(text))

    def _detector(self, shown: Shown) -> Record | None:
        detector = self._service.judges().detector
        if detector is None:
            return None
        probability = detector.judge(shown.text).probability
        says = "computer" if probability >= 0.5 else "real"
        return {"probability": probability, "says": says, "right": says == shown.truth}

    def _origin(self, shown: Shown) -> Record:
        """Where it came from: a real one has a date and a link, a generated one its label."""
        if tweet := shown.tweet:
            link = link_to(tweet, self._persona)
            return {"date": tweet.day, "link": link, "source": "", "label": ""}
        label = self._introduction.persona.label
        return {"date": "", "link": None, "source": shown.source, "label": label}


def build_game(service: Service, introduction: Introduction, settings: Settings, say: Say) -> Game:
    """The game that the settings name, begun; or one that says why it is off."""
    counts = Counts()
    dataset, folder = settings.tweets_dataset, settings.tweets

    def open_tweets() -> RealTweets:
        if dataset:
            return read_tweets(fetch_tweets(dataset, settings.tweets_revision))
        assert folder is not None
        return read_tweets(folder)

    if not dataset and folder is None:
        return Game(service, introduction, counts, off=NO_TWEETS)
    # On ZeroGPU a GPU is lent for each text that a visitor asks for, and counted against them.
    game = Game(service, introduction, counts, fill=not settings.zero_gpu)
    game.begin(open_tweets, say)
    if settings.counts_dataset and not settings.zero_gpu:
        _keep_counts(counts, settings, say)
    return game


def _keep_counts(counts: Counts, settings: Settings, say: Say) -> None:
    """In a thread of its own: the Hub may be slow, and some of its client's calls never end."""

    def keep() -> None:
        from demo.game.kept import keep_counts  # noqa: PLC0415

        keep_counts(counts, settings.counts_dataset, settings.cache_dir, say)

    threading.Thread(target=keep, name="counts", daemon=True).start()

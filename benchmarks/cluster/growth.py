"""Trials of growth: engines that come and go by themselves, and what a second one adds."""

import statistics
import time
from collections.abc import Iterator, Sequence

from benchmarks.cluster.losses import Stage, measured
from benchmarks.cluster.texts import Text, a_minute, at_once, readers
from benchmarks.scale import AT_ONCE, TOKENS, Fleet, speeds_of_each
from benchmarks.trials import Row

# More than what one engine is to have by deploy/ray/config.yaml, and less than two.
BUSY_READERS = 12
UP_SECONDS, DOWN_SECONDS = 180.0, 300.0
# For what an engine that has just come does to texts.
STAY_SECONDS = 10.0
CROWD = 64
WAVES = 3


def autoscaling(stage: Stage) -> Iterator[Row]:
    """One engine, more readers than it should have, then a single one."""
    cluster = stage.cluster(autoscaled=True)
    with readers(stage.engine, BUSY_READERS, TOKENS) as many:
        up = cluster.wait_for(lambda: cluster.engines == 2, UP_SECONDS)
        time.sleep(STAY_SECONDS)
    with readers(stage.engine, 1, TOKENS) as few:
        down = cluster.wait_for(lambda: cluster.engines == 1, DOWN_SECONDS)
        time.sleep(STAY_SECONDS)
    texts = [*many, *few]
    besides = f"two engines {_after(up)}, one again {_after(down)}"
    yield Row(
        f"{BUSY_READERS} readers, then one, with autoscaling",
        measured(texts, besides=besides),
        "two engines, then one; every text whole",
        up is not None and down is not None and all(text.is_whole for text in texts),
    )


def growth(stage: Stage) -> Iterator[Row]:
    """Two engines and then one, under the same load, beside what the simulation says of them."""
    cluster = stage.cluster()
    # Whatever is made once is made by then.
    at_once(stage.engine, CROWD, TOKENS)
    two = at_once(stage.engine, CROWD, TOKENS)
    cluster.is_whole = False
    cluster.other.kill()
    try:
        cluster.wait_for(lambda: cluster.engines == 1, UP_SECONDS, is_needed=True)
        one = at_once(stage.engine, CROWD, TOKENS)
        speeds = speeds_of_each(AT_ONCE, [_speed(stage, texts) for texts in AT_ONCE])
    finally:
        cluster.is_whole = True
    for engines, texts in ((1, one), (2, two)):
        tokens = round(statistics.mean(text.tokens for text in texts))
        besides = (
            f"{a_minute(texts):.0f} texts a minute; simulated "
            f"{simulated(speeds, engines, tokens):.0f}"
        )
        what = f"{CROWD} texts at once, {engines} {'engine' if engines == 1 else 'engines'}"
        yield Row(what, measured(texts, besides=besides), "", None)


def simulated(speeds: Sequence[float], engines: int, tokens: int) -> float:
    """Texts a minute of a crowd at so many engines. The page's own engine takes next to no time."""
    texts, *_ = Fleet(speeds, engines, page_seconds=0.0).run([0.0] * CROWD, tokens)
    return 60 * CROWD / max(text.ended for text in texts)


def _speed(stage: Stage, texts: int) -> float:
    """Tokens a second of so many texts at once, all together: the median of some waves."""
    waves = [at_once(stage.engine, texts, TOKENS) for _ in range(WAVES)]
    return statistics.median(_tokens_a_second(wave) for wave in waves)


def _tokens_a_second(wave: Sequence[Text]) -> float:
    begun, ended = min(text.asked for text in wave), max(text.ended for text in wave)
    return sum(text.tokens for text in wave) / (ended - begun)


def _after(seconds: float | None) -> str:
    return "never" if seconds is None else f"after {seconds:.0f} s"

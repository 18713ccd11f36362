"""A long stay of a few visitors over HTTP: nobody fails, and memory stays."""

import asyncio
import statistics
import time
from collections.abc import Iterator

from benchmarks.servers import Server
from benchmarks.stays_up import calls
from benchmarks.stays_up.app import App
from benchmarks.trials import Row

VISITORS = 4
# Short texts, so that they are many.
TOKENS = 12
# Whatever is made once is made by then.
WARM_UP_TEXTS = 3_000
GROWTH = 0.01
READING_SECONDS = 10.0
BOTH_MB = 900


def soak(app: App) -> Iterator[Row]:
    """Errors, growth, and memory at the end."""
    seen, readings = asyncio.run(_stay(app.server, 60 * app.soak_minutes))
    what = f"{VISITORS} visitors for {app.soak_minutes:g} minutes"
    kinds = [one.kind for one in seen]
    yield Row(what, calls.told(kinds), "a text for everybody", set(kinds) == {"text"})
    late = [reading for reading in readings if reading[0] >= WARM_UP_TEXTS]
    is_long = len(late) >= 10 and late[-1][0] - late[0][0] >= 1_000
    # A short one tells what it can, of its second half.
    shown = late if is_long else readings[len(readings) // 2 :]
    growth = _growth(shown)
    yield Row(
        f"{what}, memory of both processes",
        f"{growth:+.2%} a thousand texts, of {shown[0][0]} to {shown[-1][0]} texts"
        f"{'' if is_long else ': too few to tell'}",
        f"less than {GROWTH:.0%} a thousand texts after {WARM_UP_TEXTS:,}",
        growth < GROWTH if is_long else None,
    )
    last = readings[-1][1]
    yield Row(
        f"{what}, memory of both processes at the end",
        f"{last:.0f} MiB",
        f"under {BOTH_MB} MB",
        last * 2**20 < BOTH_MB * 10**6 if is_long else None,
    )


async def _stay(
    server: Server, seconds: float
) -> tuple[list[calls.Visit], list[tuple[int, float]]]:
    """What they got, and the memory in MiB after so many texts."""
    begun, seen, readings = time.monotonic(), list[calls.Visit](), list[tuple[int, float]]()

    async def come() -> None:
        while time.monotonic() - begun < seconds:
            seen.append(await calls.visit(server.url, max_new_tokens=TOKENS))
            # However fast the machine is, they ask for less than all visitors together may.
            await asyncio.sleep(calls.PAUSE_SECONDS)

    async def read() -> None:
        while time.monotonic() - begun < seconds:
            readings.append((len(seen), await asyncio.to_thread(server.memory_mib)))
            await asyncio.sleep(min(READING_SECONDS, seconds / 6))

    await asyncio.gather(read(), *(come() for _ in range(VISITORS)))
    readings.append((len(seen), server.memory_mib()))
    return seen, readings


def _growth(readings: list[tuple[int, float]]) -> float:
    """The share of memory gained in a thousand texts: the slope of a straight line."""
    texts, memory = zip(*readings, strict=True)
    slope: float = statistics.linear_regression(texts, memory).slope
    return 1_000 * slope / float(statistics.mean(memory))

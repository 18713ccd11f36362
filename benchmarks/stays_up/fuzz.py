"""Requests that nobody would send by mistake, and calls drawn from the OpenAPI file: those of
tests/fuzz.py and tests/described.py, many more of them."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from benchmarks.servers import Server, started
from benchmarks.stays_up.app import FLAT, App
from benchmarks.trials import Row
from tests.described import send_described
from tests.fuzz import CANARY, ROOT_PATH, SETTINGS, WAYS, send_drawn, status
from tests.guessing import write_tweets

# A status for a request that breaks something, unless it is 503.
BROKEN = 500
# Too late: whatever a request is refused for is said in a sentence of ours.
ECHOED = 422
# How often the memory is read.
READINGS = 20
# The server is tried, not the model.
SCRIPTED = ("-m", "tests.scripted_app")


def fuzz(app: App) -> Iterator[Row]:
    """Over a scripted model."""
    with tempfile.TemporaryDirectory() as folder:
        kept, tweets = Path(folder) / "gradio", Path(folder) / "data"
        write_tweets(tweets)
        variables = {
            **SETTINGS,
            "GRADIO_TEMP_DIR": str(kept),
            "TRUSTED_PROXIES": "0",
            "TWEETS": str(tweets),
        }
        with started(SCRIPTED, variables) as server:
            seen, memory = _sent(server, 2_000 if app.quick else 100_000)
            described = 500 if app.quick else 5_000
            faults = send_described(server.url + ROOT_PATH, described)
            lives = httpx.get(f"{server.url}/healthz", timeout=10).is_success
            log = server.said()
        files = [path for path in kept.rglob("*") if path.is_file()]
    broken = sum(n for code, n in seen.items() if code >= BROKEN and code != 503 or code == ECHOED)
    what = f"{seen.total():,} fuzzed requests"
    counted = ", ".join(f"{n:,} × {code}" for code, n in sorted(seen.items()))
    yield Row(what, f"{counted} (0: no answer)", "no 500, alive afterwards", lives and not broken)
    first = f"; the first: {faults[0]:.200}" if faults else ""
    yield Row(
        f"{described:,} calls drawn from the OpenAPI file",
        f"{len(faults)} answered otherwise than it says{first}",
        "each answered as it says",
        not faults,
    )
    lines = (log.count("Traceback"), log.count(CANARY))
    yield Row(
        f"{what}, the log",
        f"{lines[0]} tracebacks, {lines[1]} lines with a visitor's words, {len(files)} files kept",
        "none",
        not any(lines) and not files,
    )
    # What is made once is made by the middle.
    grown = memory[-1] / memory[len(memory) // 2] - 1
    yield Row(f"{what}, memory", f"{grown:+.1%} in the second half", f"{FLAT:.0%}", grown <= FLAT)


def _sent(server: Server, count: int) -> tuple[Counter[int], list[float]]:
    """How often which status came, and the memory from time to time."""
    seen, memory = Counter[int](), list[float]()

    def send(alike: Sequence[bytes]) -> None:
        if seen.total() >= len(memory) * count / READINGS:
            memory.append(server.memory_mib())
        seen.update(pool.map(lambda request: status(server.url, request), alike))

    with ThreadPoolExecutor(WAYS) as pool:
        send_drawn(count, send)
    memory.append(server.memory_mib())
    return seen, memory

"""Too many visitors at once, and one who asks without a pause."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks.greedy import CONNECTIONS
from benchmarks.stays_up import calls
from benchmarks.stays_up.app import App
from benchmarks.trials import Row

REFUSAL_SECONDS = 1.0
GREEDY_SECONDS = 8.0
ROUTES: Sequence[tuple[str, str, str]] = (
    ("POST", "/gradio_api/call/v2/generate", '{"prompt": "The"}'),
    ("POST", "/gradio_api/call/v2/generate_many", '{"prompt": "The"}'),
    ("POST", "/gradio_api/call/v2/detect", '{"text": "Nobody has better teapots than we do."}'),
    ("POST", "/count", '{"text": "Nobody has better teapots"}'),
    ("POST", "/guess/next", "{}"),
    ("POST", "/guess/daily", '{"place": 1}'),
    ("POST", "/guess/answer", f'{{"ticket": "{"a" * 32}", "guess": "real"}}'),
    ("POST", "/guess/twin", '{"text": "Nobody has better teapots than we do.", "seed": 1}'),
    ("GET", "/specimen", ""),
    ("GET", "/", ""),
    ("GET", "/config", ""),
    ("GET", "/gradio_api/openapi.json", ""),
    ("GET", "/openapi.json", ""),
    ("GET", "/readyz", ""),
    ("POST", "/gradio_api/mcp/", calls.MCP_CALL),
)


def crowd(app: App) -> Iterator[Row]:
    """64, then 200 at once."""
    for count in (8, 25) if app.quick else (64, 200):
        seen = calls.crowd(app.url, count)
        refused = max((one.seconds for one in seen if one.kind == "503"), default=0.0)
        yield Row(
            f"{count} visitors at once",
            f"{calls.told(one.kind for one in seen)}; the last refusal after {refused:.2f} s",
            f"a text, or 503 with a sentence and Retry-After within {REFUSAL_SECONDS:g} s",
            {one.kind for one in seen} <= {"text", "503"} and refused <= REFUSAL_SECONDS,
        )


def greedy(app: App) -> Iterator[Row]:
    """On each route in turn."""
    for route in ROUTES:
        yield _greedy(app, route)


def _greedy(app: App, route: tuple[str, str, str]) -> Row:
    bar = app.first_word_bar
    address = calls.headers()["x-forwarded-for"]
    command = [sys.executable, "-m", "benchmarks.greedy", app.url, *route, address]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(GREEDY_SECONDS / 2)
        seen = calls.visits(app.url, 2 if app.quick else 6)
        told, _ = process.communicate("")
    first = statistics.median(one.first for one in seen)
    worst = max(one.first for one in seen)
    return Row(
        f"{CONNECTIONS} connections of one visitor: {route[0]} {route[1]}",
        f"another's first word after {first:.2f} s (worst {worst:.2f} s), "
        f"{calls.told(one.kind for one in seen)}; the greedy one got {told.strip()}",
        f"another's first word within {bar:.2f} s",
        bool(told.strip()) and first <= bar and {one.kind for one in seen} == {"text"},
    )

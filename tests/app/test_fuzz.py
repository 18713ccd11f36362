"""Requests that nobody would send by mistake: none breaks the app, or leaves a word in its log."""

import json
import signal
from collections.abc import Iterator, Sequence
from itertools import count

import psutil
import pytest

from tests.app.calls import generate
from tests.described import send_described
from tests.fuzz import CANARY, MANGLED, ROOT_PATH, SETTINGS, WAYS, send_drawn, status
from tests.guessing import write_tweets
from tests.processes import HTTP, AppProcess, running_app, wait_until
from tests.scripted import GIVEN_BACK

REQUESTS = 2_000
DESCRIBED = 120


def kept_memory(app: AppProcess) -> int:
    """Of what was used once and is used no more, an allocator keeps as much as chance will have."""
    before = app.log().count(GIVEN_BACK)
    app.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: app.log().count(GIVEN_BACK) > before)
    return int(psutil.Process(app.process.pid).memory_info().rss)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    folder = tmp_path_factory.mktemp("fuzzed")
    write_tweets(folder / "data")
    variables = {**SETTINGS, "TWEETS": str(folder / "data")}
    with running_app(["-m", "tests.scripted_app"], folder, variables) as app:
        yield app


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("upload", {}),
        ("dev/reload", {}),
        ("run/generate", {"data": []}),
        ("call/generate", {"data": [CANARY]}),
        ("queue/join", {"data": [CANARY], "fn_index": 0, "session_hash": "a"}),
        ("call/v2/detect", {"text": {"path": "/etc/passwd"}}),
    ],
)
def test_a_guard_holds_however_a_path_is_written(app: AppProcess, path: str, body: object) -> None:
    content = json.dumps(body).encode()
    head = f"host: a\r\ncontent-type: application/json\r\ncontent-length: {len(content)}"
    for way in MANGLED:
        for method in ("POST", "GET"):
            target = way(f"/gradio_api/{path}")
            request = f"{method} {target} HTTP/1.1\r\n{head}\r\n\r\n".encode() + content
            assert status(app.url, request, timeout=60) in (307, 400, 404, 405), target
    assert CANARY not in app.log()


def test_calls_drawn_from_the_openapi_file_are_answered_as_it_says(app: AppProcess) -> None:
    assert send_described(app.url + ROOT_PATH, DESCRIBED, derandomize=True) == []
    assert "Traceback" not in app.log()


def test_no_request_breaks_the_app_or_is_quoted_in_its_log(app: AppProcess) -> None:
    half = 0
    sent = count(1)

    def send(alike: Sequence[bytes]) -> None:
        nonlocal half
        if next(sent) == REQUESTS // WAYS // 2:
            half = kept_memory(app)
        for request in alike:
            answered = status(app.url, request)
            assert answered < 500 or answered == 503, request
            assert answered != 422, request

    # What is made or imported once is made before memory is looked at.
    generate(f"{app.url}{ROOT_PATH}", prompt="Today")
    send_drawn(REQUESTS, send, derandomize=True)
    assert HTTP.get(f"{app.url}/healthz").is_success
    log = app.log()
    assert "Traceback" not in log
    assert CANARY not in log
    # Kept answers, the rates of a minute, and whatever else has a bound.
    assert half > 0
    assert kept_memory(app) - half < 20_000_000

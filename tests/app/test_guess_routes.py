"""The guessing game over the real process."""

import itertools
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.generation.idle import PAUSE_SECONDS
from demo.settings import VARIABLES
from tests.app.calls import generate, post
from tests.guessing import write_tweets
from tests.processes import HTTP, AppProcess, running_app, wait_until

SCRIPTED = ["-m", "tests.scripted_app"]
(ROUNDS,) = (one.default for one in VARIABLES if one.name == "RATE_ROUNDS")
_addresses = itertools.count(1)


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder through which the app is steered."""
    return tmp_path_factory.mktemp("control")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, control: Path) -> Iterator[AppProcess]:
    """The scripted app with made-up tweets to play with, behind a proxy that says who plays."""
    folder = tmp_path_factory.mktemp("guessing")
    write_tweets(folder / "data", 1_200)
    (control / "load").touch()
    settings = {
        "TWEETS": str(folder / "data"),
        "STORIES": "1",
        "CONTROL": str(control),
        "TRUSTED_PROXIES": "1",
        "RATE_ROUNDS": ROUNDS,
    }
    with running_app(SCRIPTED, folder, settings) as app:
        yield app


def play(app: AppProcess, visitor: str, route: str, **fields: Any) -> httpx.Response:
    """What the visitor at that address is answered."""
    headers = {"x-forwarded-for": visitor}
    return HTTP.post(f"{app.url}/guess/{route}", json=fields, headers=headers)


def dealt(app: AppProcess, visit: str | None = None) -> dict[str, Any]:
    """The next round of a visit, or of a new one, once there is one."""
    for _ in range(1_200):
        # Who asks often from one address is refused.
        visitor = "10.1.{}.{}".format(*divmod(next(_addresses), 256))
        answer = play(app, visitor, "next", visit=visit)
        record: dict[str, Any] = answer.raise_for_status().json()
        if record["state"] != "waiting":
            return record
        time.sleep(0.1)
    raise AssertionError(f"No round was dealt:\n{app.log()}")


def test_a_round_is_played_and_the_truth_told(app: AppProcess) -> None:
    record = dealt(app)
    guess = {"ticket": record["ticket"], "guess": "computer"}
    revealed = HTTP.post(f"{app.url}/guess/answer", json=guess).raise_for_status().json()
    assert revealed["right"] == (revealed["truth"] == "computer")
    assert revealed["everyone"]["answers"] > 0
    again = HTTP.post(f"{app.url}/guess/answer", json=guess)
    assert (again.status_code, again.json()["detail"]) == (
        409, "That one has been answered already.",
    )  # fmt: skip
    assert dealt(app, record["visit"])["visit"] == record["visit"]


def test_a_polite_player_gets_every_round_beside_a_greedy_one(
    app: AppProcess, control: Path
) -> None:
    """While somebody's text is written, too, when no text is written ahead."""
    # The tweets have been read, and texts are written for the pool.
    dealt(app)
    # Whenever the engine begins or ends a text, it writes to that file: the pool is full by then.
    peak = control / "peak"
    wait_until(lambda: time.time() - peak.stat().st_mtime > 2 * PAUSE_SECONDS)
    event_id = post(app.url, '{"prompt": "held"}').json()["event_id"]
    is_refused, is_over = threading.Event(), threading.Event()

    def be_greedy() -> None:
        while not is_over.is_set():
            answer = play(app, "10.0.0.1", "next")
            if answer.status_code == 429:
                is_refused.set()
            elif ticket := answer.json()["ticket"]:
                play(app, "10.0.0.1", "answer", ticket=ticket, guess="real").raise_for_status()

    stream = HTTP.stream("GET", f"{app.url}/gradio_api/call/generate/{event_id}")
    with stream as events, ThreadPoolExecutor(8) as pool:
        next(events.iter_lines())
        greedy = [pool.submit(be_greedy) for _ in range(8)]
        try:
            assert is_refused.wait(60)
            visit = None
            for _ in range(10):
                record = play(app, "10.0.0.2", "next", visit=visit).raise_for_status().json()
                assert record["state"] == "ready"
                visit = record["visit"]
                guess = {"ticket": record["ticket"], "guess": "real"}
                play(app, "10.0.0.2", "answer", **guess).raise_for_status()
        finally:
            is_over.set()
            (control / "go").touch()
        for one in greedy:
            one.result()


def test_texts_are_written_for_visitors_beside_the_game(app: AppProcess) -> None:
    assert generate(app.url, prompt="Today")["finish_reason"] == "end_of_tweet"


def test_nothing_of_a_round_is_logged(app: AppProcess) -> None:
    record = dealt(app)
    assert record["text"] not in app.log()
    assert record["ticket"] not in app.log()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"text": "Teapots"}, "seed must be a whole number."),
        ({"seed": 1}, "text must be a text."),
        ({"text": "Teapots", "seed": 1}, "This text fools nobody"),
    ],
)
def test_a_twin_of_nothing_is_refused_in_a_sentence(
    app: AppProcess, body: dict[str, Any], sentence: str
) -> None:
    dealt(app)
    answer = HTTP.post(f"{app.url}/guess/twin", json=body)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(sentence)


def test_a_large_body_is_refused(app: AppProcess) -> None:
    answer = HTTP.post(f"{app.url}/guess/next", content=b"x" * 1_000_000)
    assert answer.status_code == 413


def test_without_tweets_the_game_says_that_it_is_off(scripted_app: AppProcess) -> None:
    record = dealt(scripted_app)
    assert record["state"] == "off"
    assert "started without any" in record["reason"]
    twin = HTTP.post(f"{scripted_app.url}/guess/twin", json={"text": "Teapots", "seed": 1})
    assert (twin.status_code, twin.json()["detail"]) == (404, record["reason"])


def test_an_unusable_folder_stops_nothing_but_the_game(tmp_path: Path) -> None:
    """And SIGTERM ends the app cleanly and in time, even while it writes."""
    with running_app(SCRIPTED, tmp_path, {"TWEETS": str(tmp_path / "none")}) as app:
        assert dealt(app)["state"] == "off"
        assert str(tmp_path) not in dealt(app)["reason"]
        assert f"There is no test.parquet in {tmp_path / 'none'}" in app.log()
        event_id = post(app.url, '{"prompt": "slow"}').json()["event_id"]
        url = f"{app.url}/gradio_api/call/generate/{event_id}"
        with HTTP.stream("GET", url, timeout=60) as answer:
            next(answer.iter_lines())
            started = time.monotonic()
            assert app.terminate(signal.SIGTERM) == 0
            assert time.monotonic() - started < 20
        assert "Traceback" not in app.log()

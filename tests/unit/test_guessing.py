"""The guessing game as a whole, over a scripted engine and made-up tweets."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from demo.checkpoints.persona import Persona
from demo.game.game import Game, Revealed, Round, build_game
from demo.game.pairing import NEAR_CHARACTERS
from demo.game.routes import guess_routes
from demo.game.scores import Counts, Everyone
from demo.game.tickets import Refused
from demo.game.tweets import read_tweets
from demo.generation.engine import EngineError
from demo.generation.idle import IdleWriter, Wanted
from demo.generation.profile import Profile
from demo.generation.request import GenerationRequest
from demo.judging.detector import BUCKETS, Detector, DetectorFacts
from demo.judging.judges import Judges
from demo.judging.originals import Originals
from demo.server.limits import BodyMiddleware
from demo.server.service import Service, ready
from demo.settings import read_settings
from tests.guessing import Stories, dealt, write_tweets
from tests.scripted import REAL_TWEET, Reply, ScriptedEngine
from training.prepare import PERSONA

PROFILE = Profile(Persona.read(PERSONA), GenerationRequest(seed=0, temperature=0.7))
# It always says "computer".
SUSPICIOUS = Detector(DetectorFacts(2.0, 1, 1, 1.0, 0), np.zeros(BUCKETS, dtype=np.float32))

Play = Callable[..., Game]


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Waits for it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def said() -> list[str]:
    """What the owner was told."""
    return []


@pytest.fixture
def writer() -> Iterator[Callable[[Service], IdleWriter]]:
    """Begins a writer over a service, closed in the end."""
    begun = []

    def begin(service: Service) -> IdleWriter:
        begun.append(IdleWriter(service.wait, service.is_idle, 0.02))
        begun[-1].begin()
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


@pytest.fixture
def play(
    tmp_path: Path,
    engine: ScriptedEngine,
    said: list[str],
    writer: Callable[[Service], IdleWriter],
) -> Play:
    """Begins a game over the scripted engine."""
    engine.replies = Stories()

    def begin(
        service: Service | None = None, capacity: int = 16, folder: Path | None = None
    ) -> Game:
        if folder is None:
            write_tweets(tmp_path)
        service = service or ready(engine)
        game = Game(service, PROFILE, Counts(), writer(service), capacity=capacity)
        game.begin(lambda: read_tweets(folder or tmp_path), said.append)
        return game

    return begin


def round_of(game: Game, truth: str) -> tuple[Round, Revealed]:
    """A round that turned out to be of this kind, and what was revealed."""
    for _ in range(100):
        found = dealt(game)
        revealed = game.answer(found.ticket, "computer")
        if revealed.truth == truth:
            return found, revealed
    raise AssertionError(f"No {truth} one in a hundred rounds.")


def test_a_real_one_is_revealed_with_its_date_and_link(play: Play, tmp_path: Path) -> None:
    found, revealed = round_of(play(), "real")
    tweets = {tweet.text: tweet for tweet in write_tweets(tmp_path)}
    tweet = tweets[found.text]
    assert revealed.date == tweet.date[:10]
    assert revealed.link == f"https://x.com/i/status/{tweet.id}"
    assert (revealed.right, revealed.source, revealed.label) == (False, "", "")


def test_a_generated_one_is_revealed_with_its_label_and_source(play: Play, tmp_path: Path) -> None:
    found, revealed = round_of(play(), "computer")
    assert found.text not in {tweet.text for tweet in write_tweets(tmp_path)}
    assert revealed.label == "AI-generated parody (not a real tweet)"
    assert "temperature 0.7" in revealed.source
    assert "max_new_tokens 160" in revealed.source
    assert (revealed.right, revealed.link, revealed.date) == (True, None, "")


TEXT = "Teapots are the future and everybody in this country knows it!"


def test_a_text_has_a_real_twin_of_its_length(play: Play, tmp_path: Path) -> None:
    game = play()
    dealt(game)
    twin = game.twin(f"{TEXT}  https://t.co/x", seed=7)
    assert twin.text == TEXT
    tweets = {tweet.text: tweet for tweet in write_tweets(tmp_path)}
    assert abs(len(twin.real) - len(twin.text)) <= NEAR_CHARACTERS
    assert (twin.date, twin.link) == (
        tweets[twin.real].date[:10], f"https://x.com/i/status/{tweets[twin.real].id}",
    )  # fmt: skip
    # A reload shows no other one: the one that stays would be the computer's.
    assert game.twin(f"{TEXT}  https://t.co/x", seed=7) == twin
    assert len({game.twin(TEXT, seed).real for seed in range(20)}) > 1


def test_a_twin_is_no_tweet_that_the_game_deals(play: Play, tmp_path: Path) -> None:
    folder = tmp_path / "both"
    dev = write_tweets(folder, 100, "dev", seed=8)
    test = write_tweets(folder, 100)
    game = play(folder=folder)
    dealt(game)
    twins = {game.twin(TEXT, seed).real for seed in range(50)}
    assert not twins & {tweet.text for tweet in test}
    assert twins <= {tweet.text for tweet in dev}


@pytest.mark.parametrize("text", ["Too short", f"{TEXT} And…", TEXT * 4, f"RT @a: {TEXT}"])
def test_a_text_that_gives_itself_away_has_no_twin(play: Play, text: str) -> None:
    game = play()
    dealt(game)
    with pytest.raises(Refused, match="fools nobody"):
        game.twin(text, seed=1)


def test_without_a_detector_nothing_is_said_of_one(play: Play) -> None:
    _, revealed = round_of(play(), "real")
    assert revealed.detector is None
    assert revealed.everyone.detector_answers == 0


def test_people_and_the_detector_are_counted_on_the_same_texts(
    play: Play, engine: ScriptedEngine
) -> None:
    game = play(ready(engine, Judges(detector=SUSPICIOUS)))
    truths = []
    for _ in range(20):
        revealed = game.answer(dealt(game).ticket, "real")
        truths.append(revealed.truth)
        assert revealed.detector
        assert revealed.detector.says == "computer"
        assert revealed.detector.probability == pytest.approx(0.88, abs=0.01)
        assert revealed.detector.right == (revealed.truth == "computer")
    assert revealed.everyone == Everyone(
        20, truths.count("real"), 20, truths.count("computer"), kept=False
    )


def test_the_page_never_tells_that_what_it_shows_is_real(
    play: Play, engine: ScriptedEngine, tmp_path: Path
) -> None:
    shown = [tweet.text for tweet in write_tweets(tmp_path)]
    index = Originals.build([*shown, REAL_TWEET])
    service = ready(engine, Judges(index))
    found, _ = round_of(play(service), "real")
    assert index.repeats(found.text)
    visible = service.judges_for_visitors()
    for text in shown:
        assert visible.repeats(text) == visible.repeats(f"He wrote: {text.upper()}") == ()
    # Other real tweets are still found.
    assert visible.repeats(REAL_TWEET) == ((0, len(REAL_TWEET)),)


def test_an_answer_counts_once_and_a_wrong_word_is_none(play: Play) -> None:
    game = play()
    ticket = dealt(game).ticket
    with pytest.raises(Refused, match="either real or computer"):
        game.answer(ticket, "teapot")
    game.answer(ticket, "real")
    with pytest.raises(Refused, match="answered already"):
        game.answer(ticket, "real")
    assert dealt(game).everyone.answers == 1


def test_a_visit_goes_on_without_seeing_anything_twice(play: Play) -> None:
    game, texts, visit = play(), [], None
    for _ in range(60):
        found = dealt(game, visit)
        visit = visit or found.visit
        assert found.visit == visit
        texts.append(found.text)
        game.answer(found.ticket, "real")
    assert len(set(texts)) == 60


def test_many_play_at_once(play: Play) -> None:
    game = play(capacity=64)

    def go_on(_: int) -> int:
        texts, visit = set[str](), ""
        for _ in range(15):
            found = dealt(game, visit)
            visit = found.visit
            texts.add(found.text)
            game.answer(found.ticket, "real")
        return len(texts)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(go_on, range(8))) == [15] * 8
    assert game.next(None).everyone.answers == 120


def test_a_text_without_an_end_of_its_own_is_not_shown(play: Play, engine: ScriptedEngine) -> None:
    class Endless(dict[str, Reply]):
        def get(self, opening: str, default: Any = None) -> Any:
            return Reply("tea " * 161)

    engine.replies = Endless()
    game = play()
    until(lambda: len(engine.requests) >= 16)
    assert {request.max_new_tokens for request in engine.requests} == {160}
    assert game.next(None).state == "waiting"


def test_a_full_pool_costs_nothing(play: Play, engine: ScriptedEngine) -> None:
    play(capacity=8)
    asked = 0

    def is_at_rest() -> bool:
        nonlocal asked
        before, asked = asked, len(engine.requests)
        time.sleep(0.3)
        return before == asked >= 8

    until(is_at_rest)
    assert len(engine.requests) == asked


def test_a_visitor_has_the_engine_at_once_and_the_text_is_begun_again(
    play: Play, engine: ScriptedEngine
) -> None:
    engine.replies = Stories(seconds_per_word=0.05)
    service = ready(engine)
    play(service)
    until(lambda: engine.active == 1)
    first = engine.requests[-1]
    with service.queue.place("a visitor", texts=1):
        until(lambda: engine.active == 0, seconds=3)
        begun = len(engine.requests)
        time.sleep(0.2)
        assert len(engine.requests) == begun
    until(lambda: len(engine.requests) > begun)
    assert engine.requests[begun] == engine.requests[begun - 1]
    assert first in engine.requests


def test_nothing_is_written_before_the_engine_is_there(play: Play, engine: ScriptedEngine) -> None:
    service = Service(lambda: pytest.fail("never loaded"))
    game = play(service)
    time.sleep(0.1)
    assert (engine.requests, game.next(None).state) == ([], "waiting")


def test_an_engine_that_fails_is_left_alone_for_longer_and_longer(
    play: Play, engine: ScriptedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    asked_at = []

    class Failing(dict[str, Reply]):
        def get(self, opening: str, default: Any = None) -> Any:
            asked_at.append(time.monotonic())
            return Reply("secret words", error=EngineError("secret words"))

    engine.replies = Failing()
    play()
    until(lambda: len(asked_at) >= 5)
    pauses = [after - before for before, after in pairwise(asked_at[:5])]
    assert all(pause >= 0.02 * 2**i for i, pause in enumerate(pauses))
    assert "EngineError" in caplog.text
    assert "secret" not in caplog.text


def test_it_leaves_the_engine_when_the_app_stops(engine: ScriptedEngine) -> None:
    engine.replies = Stories(seconds_per_word=0.05)
    service = ready(engine)
    writer = IdleWriter(service.wait, service.is_idle)
    writer.add(lambda: Wanted(GenerationRequest(), lambda _: True))
    writer.begin()
    until(lambda: engine.active == 1)
    writer.close()
    until(lambda: engine.active == 0, seconds=1)
    asked = len(engine.requests)
    time.sleep(0.1)
    assert len(engine.requests) == asked


def damaged(folder: Path) -> None:
    (folder / "test.parquet").write_bytes(b"PAR1 teapot")


def empty(folder: Path) -> None:
    write_tweets(folder, 0)


def few(folder: Path) -> None:
    write_tweets(folder, 19)


def without_texts(folder: Path) -> None:
    table = pa.table({"id": [1], "date": [""], "text": pa.array([None], pa.string())})
    pq.write_table(table, folder / "test.parquet")


def of_other_columns(folder: Path) -> None:
    pq.write_table(pa.table({"teapots": [1]}), folder / "test.parquet")


def with_a_wrong_persona(folder: Path) -> None:
    write_tweets(folder)
    (folder / "persona.json").write_text("{")


@pytest.mark.parametrize(
    "spoil",
    [lambda _: None, damaged, empty, few, without_texts, of_other_columns, with_a_wrong_persona],
)
def test_without_usable_tweets_the_game_is_off_and_its_owner_knows_why(
    play: Play, tmp_path: Path, said: list[str], spoil: Callable[[Path], None]
) -> None:
    folder = tmp_path / "prepared"
    folder.mkdir()
    spoil(folder)
    game = play(folder=folder)
    until(lambda: game.next(None).state != "waiting")
    assert game.next(None).state == "off"
    assert "could not be read" in game.next(None).reason
    assert str(folder) not in game.next(None).reason
    (sentence,) = said
    assert sentence.startswith("There is no guessing game. ")
    assert str(folder) in sentence or "Only 19 tweets" in sentence


def test_dev_is_taken_only_where_there_is_no_test(tmp_path: Path) -> None:
    dev = write_tweets(tmp_path, 30, "dev")
    assert [tweet.text for tweet in read_tweets(tmp_path).tweets] == [tweet.text for tweet in dev]
    test = write_tweets(tmp_path, 25, "test")
    real = read_tweets(tmp_path)
    assert [tweet.text for tweet in real.tweets] == [tweet.text for tweet in test]
    assert len(real.texts) == 55


def test_without_a_date_the_id_is_a_lines_number_and_no_link(play: Play, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    tweets = write_tweets(folder)
    undated = pa.table(
        {
            "id": [tweet.id for tweet in tweets],
            "date": ["" for _ in tweets],
            "text": [tweet.text for tweet in tweets],
        }
    )
    pq.write_table(undated, folder / "test.parquet")
    _, revealed = round_of(play(folder=folder), "real")
    assert (revealed.link, revealed.date) == (None, "")


def test_the_datas_own_persona_says_where_its_tweets_are(play: Play, tmp_path: Path) -> None:
    folder = tmp_path / "teapots"
    write_tweets(folder)
    persona = PROFILE.persona.model_copy(update={"link": "https://teapots.example/{id}"})
    persona.write(folder)
    _, revealed = round_of(play(folder=folder), "real")
    assert revealed.link
    assert revealed.link.startswith("https://teapots.example/1")


def test_no_tweets_no_game_and_nothing_is_begun(engine: ScriptedEngine, said: list[str]) -> None:
    service = ready(engine)
    game = build_game(
        service, PROFILE, read_settings({}), IdleWriter(service.wait, service.is_idle), said.append
    )
    assert game.next(None).state == "off"
    assert "started without any" in game.next(None).reason
    game.close()
    assert (said, engine.requests) == ([], [])


def test_where_a_gpu_is_lent_nothing_is_written_ahead(
    engine: ScriptedEngine, said: list[str], tmp_path: Path
) -> None:
    settings = read_settings({"TWEETS": str(tmp_path), "SPACES_ZERO_GPU": "1"})
    service = ready(engine)
    game = build_game(
        service, PROFILE, settings, IdleWriter(service.wait, service.is_idle), said.append
    )
    assert "no text is written before" in game.next(None).reason
    game.close()
    assert engine.requests == []


@pytest.fixture
def client(play: Play) -> TestClient:
    """The game over HTTP."""
    bodies = Middleware(BodyMiddleware, max_bytes=100_000, calls={})
    return TestClient(Starlette(routes=guess_routes(play()), middleware=[bodies]))


def ready_round(client: TestClient) -> Any:
    """The answer to `next`, once there is a round."""
    for _ in range(1_000):
        answer = client.post("/guess/next", json={"visit": None})
        if answer.json()["state"] == "ready":
            return answer
        time.sleep(0.005)
    raise AssertionError("No round was dealt.")


def test_a_round_looks_the_same_whatever_it_is(client: TestClient) -> None:
    shapes: dict[str, set[Any]] = {"real": set(), "computer": set()}
    for _ in range(30):
        answer = ready_round(client)
        body = answer.json()
        # What is left of the bytes without the values.
        counts = json.dumps(body["everyone"], separators=(",", ":"))
        blank = reduce(
            lambda left, value: left.replace(value, ""),
            (body["text"], body["ticket"], body["visit"], counts),
            answer.text,
        )
        shape = (blank, len(body["visit"]), len(body["ticket"]), *sorted(answer.headers))
        assert answer.headers["cache-control"] == "no-store"
        guess = {"ticket": body["ticket"], "guess": "real"}
        revealed = client.post("/guess/answer", json=guess)
        assert revealed.headers["cache-control"] == "no-store"
        shapes[revealed.json()["truth"]].add(shape)
        assert set(body) == {"state", "visit", "ticket", "text", "everyone", "reason"}
    assert shapes["real"] == shapes["computer"]
    assert len(shapes["real"]) == 1


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("next", b"", "must be JSON"),
        ("next", b"{", "must be JSON"),
        ("next", b"\xff", "must be JSON"),
        ("next", b"[" * 60_000, "must be JSON"),
        ("next", b"[]", "must be a JSON object"),
        ("next", b'{"visit": 7}', "visit must be a text"),
        ("daily", b"{}", "place must be a whole number"),
        ("daily", b'{"place": true}', "place must be a whole number"),
        ("daily", b'{"place": 11}', "from 1 to 10"),
        ("daily", b'{"place": 1, "day": "tea time"}', "a date such as"),
        ("daily", b'{"place": 1, "day": 7}', "day must be a text"),
        ("answer", b"{}", "ticket must be a text"),
        ("answer", b'{"ticket": "a"}', "guess must be a text"),
        ("answer", b'{"ticket": ["a"], "guess": "real"}', "ticket must be a text"),
        ("answer", b'{"ticket": "a", "guess": "kettle"}', "either real or computer"),
        ("answer", b'{"ticket": "a", "guess": "real"}', "not a ticket"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(
    client: TestClient, path: str, content: bytes, reason: str
) -> None:
    answer = client.post(f"/guess/{path}", content=content)
    assert answer.status_code == 400
    assert reason in answer.json()["detail"]


def test_a_second_answer_is_a_conflict(client: TestClient) -> None:
    guess = {"ticket": ready_round(client).json()["ticket"], "guess": "real"}
    assert client.post("/guess/answer", json=guess).status_code == 200
    again = client.post("/guess/answer", json=guess)
    assert (again.status_code, again.json()) == (
        409, {"detail": "That one has been answered already."},
    )  # fmt: skip

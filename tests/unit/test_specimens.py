"""What a fresh page shows was written by the running model, and is a whole tweet of its own."""

import time

from starlette.applications import Starlette
from starlette.testclient import TestClient

from demo.checkpoints.embedded import EMBEDDED
from demo.generation.engine import EngineError
from demo.generation.idle import IdleWriter
from demo.generation.profile import read_profile
from demo.server.service import Service, ready
from demo.ui.specimens import WANTED, Specimens
from tests.processes import wait_until
from tests.scripted import REAL_TWEET, Reply, ScriptedEngine, scripted_judges

PROFILE = read_profile(EMBEDDED)


def begun(service: Service) -> TestClient:
    specimens, writer = Specimens(service, PROFILE), IdleWriter(service.wait, service.is_idle, 0.02)
    writer.add(specimens.want)
    writer.begin()
    return TestClient(Starlette(routes=[specimens.route()]))


def test_only_whole_texts_of_its_own_are_shown(engine: ScriptedEngine) -> None:
    copied, short, good = PROFILE.persona.examples
    engine.replies |= {copied: Reply(REAL_TWEET), short: Reply("SAD!")}
    client = begun(ready(engine, scripted_judges()))
    wait_until(lambda: len(engine.requests) == 3 * WANTED and not engine.active)
    wait_until(lambda: client.get("/specimen").status_code == 200)
    assert {client.get("/specimen").json()["prompt"] for _ in range(20)} == {good}
    result = client.get("/specimen").json()
    assert (result["finish_reason"], result["label"]) == ("end_of_tweet", PROFILE.persona.label)
    assert [request.seed for request in engine.requests] == list(range(1, 3 * WANTED + 1))


def test_an_error_costs_one_attempt(engine: ScriptedEngine) -> None:
    failing, *_ = PROFILE.persona.examples
    engine.replies |= {failing: Reply(error=EngineError("Tired."))}
    client = begun(ready(engine, scripted_judges()))
    wait_until(lambda: client.get("/specimen").status_code == 200)
    assert client.get("/specimen").json()["prompt"] != failing


def test_a_visitor_comes_first(engine: ScriptedEngine) -> None:
    service = ready(engine)
    with service.queue.place("somebody", 1):
        client = begun(service)
        time.sleep(0.3)
        assert engine.requests == []
        assert client.get("/specimen").status_code == 204

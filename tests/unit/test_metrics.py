"""What is counted, who may read it, and that no visitor's word is in it."""

import asyncio
import logging
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from demo.checkpoints.persona import NOBODY
from demo.generation.engine import EngineError, WorkerState
from demo.generation.profile import Profile
from demo.server.metrics import Metrics, Observed
from demo.server.routes import service_routes
from demo.server.service import Service, ready
from demo.ui.api import make_generate, make_generate_many
from tests.scripted import Reply, ScriptedEngine

TOKEN = "a-token-of-sixteen-or-more"


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine({"waits": Reply("one two", words_until_closed=1),
                           "fails": Reply("", error=EngineError("Tired.")),
                           "crashes": Reply("", error=RuntimeError("SECRET"))})  # fmt: skip


@pytest.fixture
def service(engine: ScriptedEngine) -> Iterator[Service]:
    yield (one := ready(engine))
    one.close()


def value(service: Service, name: str, **labels: str) -> float:
    return service.counts.registry.get_sample_value(name, labels) or 0.0


def texts(service: Service, outcome: str, reason: str) -> float:
    return value(service, "demo_texts_total", outcome=outcome, reason=reason)


def ask(service: Service, prompt: str, **fields: object) -> None:
    """Reads a call to its end, or its error."""
    try:
        for _ in make_generate(service, Profile(NOBODY))(prompt, **fields):
            pass
    except Exception:
        assert prompt != "finishes"


def test_a_text_is_counted_by_how_it_ended(service: Service) -> None:
    ask(service, "finishes")
    ask(service, "fails")
    ask(service, "crashes")
    ask(service, "refused", top_p=9)
    assert texts(service, "finished", "end_of_tweet") == 1
    assert texts(service, "failed", "engine") == 1
    assert texts(service, "failed", "internal") == 1
    assert texts(service, "refused", "invalid") == 1
    assert value(service, "demo_first_word_seconds_count") == 1
    assert value(service, "demo_text_seconds_count") == 1
    assert value(service, "demo_tokens_total", kind="new") == 12


def test_a_reader_who_leaves_cancels_every_text_of_the_call(service: Service) -> None:
    stream = make_generate_many(service, Profile(NOBODY))("waits", 3)
    while value(service, "demo_first_word_seconds_count") < 3:
        next(stream)
    assert value(service, "demo_slots_in_use") == 3
    stream.close()  # type: ignore[attr-defined]
    assert texts(service, "cancelled", "closed") == 3
    assert value(service, "demo_slots_in_use") == 0


def answer(counts: Metrics, method: str, path: str, status: int) -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        if status:
            await send({"type": "http.response.start", "status": status, "headers": []})

    async def nothing(*_: object) -> None:
        return None

    scope = {"type": "http", "method": method, "path": path}
    asyncio.run(Observed(app, counts)(scope, nothing, nothing))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "path", "status", "labels"),
    [
        ("GET", "/", 200, ("page", "ok", "")),
        ("GET", "/SECRET", 404, ("page", "refused", "not_found")),
        ("POST", "/gradio_api/call/v2/SECRET", 400, ("call", "refused", "bad_body")),
        ("POST", "/gradio_api/queue/join", 503, ("call", "refused", "queue_full")),
        ("POST", "/gradio_api/mcp/", 429, ("mcp", "refused", "rate")),
        ("GET", "/gradio_api/call/generate/SECRET", 200, ("stream", "ok", "")),
        ("GET", "/gradio_api/queue/data", 0, ("stream", "left", "")),
        ("POST", "/guess/next", 413, ("game", "refused", "too_large")),
        ("GET", "/readyz", 503, ("probe", "failed", "not_ready")),
        ("POST", "/count", 500, ("count", "failed", "error")),
    ],
)
def test_a_request_is_counted_by_route_outcome_and_reason(
    service: Service, method: str, path: str, status: int, labels: tuple[str, str, str]
) -> None:
    answer(service.counts, method, path, status)
    named = dict(zip(("route", "outcome", "reason"), labels, strict=True))
    assert value(service, "demo_requests_total", **named) == 1


def client(service: Service, token: str) -> TestClient:
    return TestClient(Starlette(routes=list(service_routes(service, token))))


def test_metrics_are_shown_to_who_has_the_token(service: Service) -> None:
    ask(service, "SECRET")
    right = {"authorization": f"Bearer {TOKEN}"}
    shown = client(service, TOKEN).get("/metrics", headers=right)
    assert shown.status_code == 200
    assert shown.headers["content-type"].startswith("text/plain")
    assert 'demo_texts_total{outcome="finished",reason="end_of_tweet"} 1.0' in shown.text
    for name in ("demo_queue_depth", "demo_slots", "demo_engine_restarts_total"):
        assert f"\n{name} " in shown.text
    assert "process_resident_memory_bytes" in shown.text
    assert "SECRET" not in shown.text
    assert TOKEN not in shown.text


@pytest.mark.parametrize("header", ["", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer",
                                    "Bearer \xff"])  # fmt: skip
def test_without_it_they_are_not(service: Service, header: str) -> None:
    headers = {b"authorization": header.encode("latin-1")}
    assert client(service, TOKEN).get("/metrics", headers=headers).status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer x"])
def test_without_the_setting_there_is_no_such_page(service: Service, header: str) -> None:
    headers = {"authorization": header}
    assert client(service, "").get("/metrics", headers=headers).status_code == 404


def test_the_workers_memory_and_restarts_are_those_of_its_process(service: Service) -> None:
    class InWorker(ScriptedEngine):
        def worker(self) -> WorkerState:
            return WorkerState(1, 2)

    with_worker = ready(InWorker())
    assert value(with_worker, "demo_engine_restarts_total") == 2
    assert value(with_worker, "worker_process_resident_memory_bytes") > 0
    assert value(service, "worker_process_resident_memory_bytes") == 0


def test_the_log_says_how_texts_end_and_sums_refusals_up(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "demo"):
        ask(service, "SECRET")
        for _ in range(3):
            answer(service.counts, "POST", "/gradio_api/call/generate", 429)
            ask(service, "SECRET", top_p=9)
        (ended,) = caplog.records
        service.counts.log_refusals()
        service.counts.log_refusals()
    _, refused = caplog.records
    assert ended.getMessage() == "Text finished."
    assert vars(ended)["figures"]["new_tokens"] == 12
    assert vars(refused)["figures"] == {"call.rate": 3, "text.invalid": 3}
    assert "SECRET" not in "".join(str(vars(record)) for record in caplog.records)

"""The engine elsewhere, against a server on loopback that behaves, or misbehaves."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demo.checkpoints.resolve import Checkpoint
from demo.generation.engine import (
    BUSY,
    FAILED,
    SHUTTING_DOWN,
    Chunk,
    EngineError,
    UnusableServer,
    source_line,
)
from demo.generation.remote import connection
from demo.generation.remote import engine as engine_module
from demo.generation.remote.connection import AWAY, UNUSABLE
from demo.generation.remote.dialects import OURS
from demo.generation.remote.engine import RemoteEngine
from demo.generation.request import GenerationRequest, InvalidRequest
from demo.generation.tokens import ForbiddenPair
from demo.settings import read_settings
from tests import tiny
from tests.completions import (
    MODEL,
    Body,
    CompletionsServer,
    Handler,
    lists,
    sentence_ids,
    serving,
    write_sentence,
    write_sentence_as_llama_server,
)
from tests.processes import wait_until

ASK = GenerationRequest("The teapot", seed=7, max_new_tokens=80)
Write = Callable[[Handler, Body], None]

# anyio says so of a connection that is cancelled before it is tried.
pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine 'connect_tcp:RuntimeWarning",
    "ignore:.*connect_tcp:pytest.PytestUnraisableExceptionWarning",
)


@pytest.fixture
def server() -> Iterator[CompletionsServer]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BACK_OFF_SECONDS", 0.02)
    monkeypatch.setattr(engine_module, "ASK_SECONDS", 0.05)


Open = Callable[..., RemoteEngine]


@pytest.fixture
def opened(server: CompletionsServer, fluent_folder: Path) -> Iterator[Open]:
    engines: list[RemoteEngine] = []
    said: list[str] = []

    def open_(**changes: Any) -> RemoteEngine:
        environ = {"ENGINE": "remote", "ENGINE_URL": server.url, "SLOTS": "4"}
        settings = replace(read_settings(environ), **changes)
        named = Checkpoint(fluent_folder, "fluent", "0" * 12)
        engine = RemoteEngine(named, settings, said.append)
        engines.append(engine)
        return engine

    vars(open_)["said"] = said
    yield open_
    for engine in engines:
        engine.close()


def text_of(chunks: Iterator[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


# --- texts -----------------------------------------------------------------------------------


def test_a_text_comes_in_pieces_and_says_how_it_ended(opened: Open) -> None:
    *pieces, last = opened().stream(ASK)
    assert text_of(iter([*pieces, last])) == tiny.SENTENCE
    assert last.ending is not None
    assert (last.ending.reason, last.ending.new_tokens) == ("end_of_tweet", len(sentence_ids()) + 1)
    assert last.ending.prompt_tokens == opened().count_tokens(ASK.prompt)


def test_it_may_end_at_its_length_within_a_character(opened: Open) -> None:
    emoji = tiny.SENTENCE.index("😀")
    engine = opened()
    limit = engine.count_tokens(tiny.SENTENCE[:emoji]) + 2
    *pieces, last = engine.stream(GenerationRequest(max_new_tokens=limit))
    assert last.ending is not None
    assert last.ending.reason == "length"
    assert text_of(iter([*pieces, last])) == tiny.SENTENCE[:emoji]


def test_the_source_says_that_the_weights_cannot_be_verified(opened: Open) -> None:
    assert source_line(opened().identity, ASK).startswith(
        "teapots@unverified · remote vLLM as served · seed 7"
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("alice/gpt2-tweets", "alice/gpt2-tweets"),
        ("/home/alice/models/gpt2.gguf", "gpt2.gguf"),
        ("~/gpt2", "gpt2"),
        ("C:\\models\\gpt2.gguf", "gpt2.gguf"),
        ("<b>t</b>", "_b_t_/b_"),
        ("t" * 200, "t" * 80),
    ],
)
def test_a_models_name_brings_neither_markup_nor_a_path_to_the_page(
    opened: Open, server: CompletionsServer, name: str, shown: str
) -> None:
    server.look = lists(MODEL | {"id": name})
    assert opened().identity.checkpoint == shown


def test_what_a_visitor_types_stays_text(opened: Open, server: CompletionsServer) -> None:
    text_of(opened().stream(GenerationRequest("a<|endoftext|>b")))
    prompt = server.asked[-1][2]["prompt"]
    assert prompt[0] == 0
    assert 0 not in prompt[1:]


SETTINGS: dict[str, Any] = {"temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.25, "seed": 7}


@pytest.mark.parametrize(
    ("owner", "kind", "top_k", "expected"),
    [
        ("vllm", "auto", 0, {"top_k": 0, "repetition_penalty": 1.25}),
        ("vllm", "auto", 5, {"top_k": 5, "stop_token_ids": [0], "return_token_ids": True}),
        ("sglang", "auto", 0, {"top_k": -1, "repetition_penalty": 1.25}),
        ("someone", "sglang", 5, {"top_k": 5}),
        (OURS, "auto", 0, {"top_k": 0, "max_tokens": 9, "min_p": 0, "min_tokens": 1}),
        ("llamacpp", "auto", 0, {"top_k": 0, "repeat_penalty": 1.25, "n_predict": 9, "min_p": 0}),
        ("someone", "llama-server", 5, {"repeat_last_n": 4 + 9, "cache_prompt": False}),
    ],
)
def test_every_server_is_asked_in_its_own_words(
    opened: Open, server: CompletionsServer, owner: str, kind: Any, top_k: int, expected: Body
) -> None:
    server.look = lists(MODEL | {"owned_by": owner})
    is_llama = "llama" in owner + kind
    server.write = write_sentence_as_llama_server if is_llama else write_sentence
    request = GenerationRequest("The teapot", max_new_tokens=9, top_k=top_k, **SETTINGS)
    engine = opened(engine_kind=kind, engine_key="k" * 20)
    assert tiny.SENTENCE.startswith(text_of(engine.stream(request)).rstrip("\ufffd"))
    path, authorization, body = server.asked[-1]
    assert path == ("/completion" if is_llama else "/v1/completions")
    assert authorization == "Bearer " + "k" * 20
    settings = SETTINGS if not is_llama else {k: v for k, v in SETTINGS.items() if k[0] != "r"}
    assert body.items() >= {**settings, "stream": True, **expected}.items()


@pytest.mark.parametrize(
    ("owner", "rule"),
    [
        ("vllm", {"bad_words": ["@user"], "min_tokens": 1}),
        ("sglang", {"logit_bias": {"9": -100.0}, "min_tokens": 1}),
        ("llamacpp", {"logit_bias": [[9, False]]}),
    ],
)
def test_the_server_is_told_what_is_never_written(
    opened: Open,
    server: CompletionsServer,
    monkeypatch: pytest.MonkeyPatch,
    owner: str,
    rule: Body,
) -> None:
    forbidden = ForbiddenPair(9, frozenset({8}), ("@user",))
    monkeypatch.setattr("demo.generation.tokens._anonymous_handle", lambda _: forbidden)
    server.look = lists(MODEL | {"owned_by": owner})
    if owner == "llamacpp":
        server.write = write_sentence_as_llama_server
    text_of(opened().stream(ASK))
    assert server.asked[-1][2].items() >= rule.items()


def test_a_prompt_beyond_the_servers_context_is_refused_with_the_limit(
    opened: Open, server: CompletionsServer
) -> None:
    server.look = lists(MODEL | {"max_model_len": 60})
    engine = opened()
    assert engine.context_tokens == 59
    with pytest.raises(InvalidRequest, match="at most 43"):
        next(engine.stream(GenerationRequest("harbor " * 50)))
    text_of(engine.stream(GenerationRequest("The teapot", max_new_tokens=200)))
    body = server.asked[-1][2]
    assert len(body["prompt"]) + body["max_tokens"] == 60


# --- bad answers to a text ---------------------------------------------------------------------


def begun(then: Write) -> Write:
    """A stream that goes wrong after its first token."""

    def write(request: Handler, body: Body) -> None:
        request.begin()
        request.tokens(sentence_ids()[:1])
        then(request, body)

    return write


def hang(request: Handler, _: Body) -> None:
    request.wfile.flush()
    request.connection.settimeout(20)
    request.connection.recv(1)


def mute(request: Handler, body: Body) -> None:
    request.begin()
    hang(request, body)


def without_ids(request: Handler, _: Body) -> None:
    request.begin()
    request.tokens([], text="a")


def flood(request: Handler, _: Body) -> None:
    request.wfile.write(b'data: {"choices": [{"text": "')
    for _i in range(1_600):
        request.wfile.write(b"x" * 65_536)


def first(*parts: bytes) -> Write:
    return begun(lambda request, _: request.wfile.writelines(parts))


def says(status: int, **headers: str) -> Write:
    return lambda request, _: request.answer(status, b"{}", **headers)


def nothing(*_: Any) -> None:
    """The connection is closed without an answer."""


BAD: dict[str, tuple[Write, str, str]] = {
    "html": (lambda r, _: r.answer(content=b"<html>", kind="text/html"), UNUSABLE, "event-stream"),
    "whole": (lambda r, _: r.answer(content=b"{}"), UNUSABLE, "event-stream"),
    "400": (says(400), UNUSABLE, "answers 400"),
    "401": (says(401), UNUSABLE, "answers 401: check ENGINE_KEY"),
    "404": (says(404), UNUSABLE, "answers 404: ENGINE_URL"),
    "moved": (says(301, location="http://example.org"), UNUSABLE, "answers 301"),
    "429": (says(429), BUSY, "answers 429"),
    "500": (says(500), FAILED, "answers 500"),
    "503": (says(503, retry_after="0"), BUSY, "answers 503"),
    "nothing": (nothing, AWAY, "cannot be reached (RemoteProtocolError)"),
    "no token": (lambda r, _: r.begin(), AWAY, "ended its stream before the text"),
    "no end": (begun(nothing), FAILED, "ended its stream before the text"),
    "hangs": (mute, AWAY, "fell silent"),
    "hangs later": (begun(hang), FAILED, "fell silent"),
    "odd reason": (begun(lambda r, _: r.tokens([], "abort")), FAILED, "event that is none"),
    "error": (begun(lambda r, _: r.event({"error": {"message": "x"}})), FAILED, "sends an error"),
    "list": (first(b"data: [1]\n\n"), FAILED, "event that is none"),
    "odd ids": (
        first(b'data: {"choices": [{"token_ids": 7}]}\n\n'),
        FAILED,
        "an event that is none",
    ),
    "not JSON": (first(b"data: {\n\n"), FAILED, "not JSON"),
    "deep": (first(b"data: " + b"[" * 100_000 + b"\n\n"), FAILED, "not JSON"),
    "large": (begun(flood), FAILED, "more than 1,000,000 bytes in one event"),
    "beyond": (begun(lambda r, _: r.tokens([290])), FAILED, "beyond the checkpoint's vocabulary"),
    "negative": (begun(lambda r, _: r.tokens([-1])), FAILED, "beyond the checkpoint's vocabulary"),
    "no number": (begun(lambda r, _: r.tokens(["a"])), FAILED, "beyond the checkpoint's"),
    "too many": (begun(lambda r, _: r.tokens([5] * 80)), FAILED, "more tokens than were asked for"),
    "no ids": (without_ids, FAILED, "text without its token ids"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_goes_wrong_is_a_sentence_and_a_line_in_the_log(
    opened: Open,
    server: CompletionsServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    write, sentence, reason = BAD[name]
    # What may pass is tried again until the deadline.
    patience = 1.5 if sentence in (AWAY, BUSY) or name == "500" else 60
    engine = opened(deadline_seconds=patience, engine_key="secret-of-the-server")
    server.write = write
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        if write in (mute, BAD["hangs later"][0]):
            patched.setattr(connection, "SILENCE_SECONDS", 0.2)
            patched.setattr(connection, "FIRST_TOKEN_SECONDS", 0.2)
        with pytest.raises(EngineError) as caught:
            text_of(engine.stream(ASK))
    assert str(caught.value) == sentence
    (line,) = caplog.messages
    assert line.startswith("A text failed: the engine's server ")
    assert reason in line
    assert "secret" not in line
    server.behave()
    monkeypatch.setattr(engine, "_deadline_seconds", 60)
    assert text_of(engine.stream(ASK)) == tiny.SENTENCE


def test_a_text_is_asked_for_again_until_its_first_token(
    opened: Open, server: CompletionsServer
) -> None:
    engine = opened()
    bad = iter([BAD["503"][0], BAD["nothing"][0], BAD["no token"][0], write_sentence])
    server.write = lambda request, body: next(bad)(request, body)
    assert text_of(engine.stream(ASK)) == tiny.SENTENCE


def test_after_it_never(opened: Open, server: CompletionsServer) -> None:
    engine = opened()
    server.write = BAD["no end"][0]
    server.asked.clear()
    with pytest.raises(EngineError):
        text_of(engine.stream(ASK))
    assert len(server.asked) == 1


def test_a_text_that_takes_too_long_keeps_what_it_has(
    opened: Open, server: CompletionsServer
) -> None:
    engine = opened(deadline_seconds=2)
    server.write = begun(hang)
    *_, last = engine.stream(ASK)
    assert last.ending is not None
    assert (last.ending.reason, last.ending.new_tokens) == ("deadline", 1)


# --- leaving -----------------------------------------------------------------------------------


def test_who_leaves_closes_the_connection_and_so_stops_the_server(
    opened: Open, server: CompletionsServer
) -> None:
    left = threading.Event()

    def write(request: Handler, body: Body) -> None:
        hang(request, body)
        left.set()

    engine = opened()
    server.write = begun(write)
    stream = engine.stream(ASK)
    next(stream)
    stream.close()
    assert left.wait(10)


def test_closing_tells_the_readers_and_later_ones(opened: Open, server: CompletionsServer) -> None:
    engine = opened()
    server.write = begun(hang)
    stream = engine.stream(ASK)
    next(stream)
    engine.close()
    for reader in (stream, engine.stream(ASK)):
        with pytest.raises(EngineError, match=SHUTTING_DOWN):
            text_of(reader)
    assert not engine.health()
    engine.close()


# --- the start ---------------------------------------------------------------------------------


def look(status: int = 200, content: bytes = b"{}", kind: str = "application/json") -> Any:
    return lambda request: request.answer(status, content, kind)


def other_words(request: Handler, body: Body) -> None:
    request.begin()
    request.tokens(sentence_ids()[:9], "stop", text="Nothing of the kind")


UNUSABLE_SERVERS: dict[str, tuple[Body, str]] = {
    "html": ({"look": look(content=b"<html>", kind="text/html")}, "something else than applicat"),
    "401": ({"look": look(401)}, "answers 401: check ENGINE_KEY"),
    "404": ({"look": look(404)}, "answers 404: ENGINE_URL must end where /models begins"),
    "no list": ({"look": look(content=b"[1]")}, "something else than a list of models"),
    "not JSON": ({"look": look(content=b"{")}, "something else than a list of models"),
    "endless": ({"look": look(content=b" " * 1_000_001)}, "more than a list of models"),
    "no context": ({"look": lists(MODEL | {"max_model_len": "9"})}, "something else than a list"),
    "short": ({"look": lists(MODEL | {"max_model_len": 30})}, "at most 30 tokens"),
    "none": ({"look": lists()}, "serves 0 models"),
    "several": ({"look": lists(MODEL, MODEL | {"id": "b"})}, "serves 2 models: say which in"),
    "another": ({"look": lists(MODEL | {"id": "b"})}, "does not serve teapots: correct ENGINE_MO"),
    "text only": ({"write": says(422)}, "a trial text from token ids, and it answers 422"),
    "no ids": ({"write": BAD["no ids"][0]}, "and it sends text without its token ids"),
    "vocabulary": ({"write": other_words}, "has another vocabulary than the checkpoint fluent"),
}


@pytest.mark.parametrize("name", UNUSABLE_SERVERS)
def test_a_server_that_can_never_do_is_refused_at_the_start(
    opened: Open, server: CompletionsServer, name: str
) -> None:
    behaviour, reason = UNUSABLE_SERVERS[name]
    vars(server).update(behaviour)
    with pytest.raises(UnusableServer) as caught:
        opened(engine_model="teapots" if name == "another" else "")
    assert str(caught.value).startswith("The server that ENGINE_URL names ")
    assert reason in str(caught.value)


def test_one_that_is_not_there_yet_is_waited_for(opened: Open, server: CompletionsServer) -> None:
    looks = iter([look(503), look(502), look(503)])
    server.look = lambda request: next(looks, lists(MODEL))(request)
    assert opened().health()
    assert vars(opened)["said"] == ["Waiting for the server that ENGINE_URL names: it answers 503."]


def test_a_server_that_writes_is_there_though_it_answers_nothing_else(
    opened: Open, server: CompletionsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "ASK_SECONDS", 0.4)
    asked: list[float] = []

    def refuse(request: Handler) -> None:
        asked.append(time.monotonic())
        look(503)(request)

    def write(request: Handler, body: Body) -> None:
        request.begin()
        while len(asked) < 4:
            request.tokens(sentence_ids()[:1])
            time.sleep(0.05)
        hang(request, body)

    engine = opened()
    server.write = write
    stream = engine.stream(GenerationRequest(seed=1, max_new_tokens=90))
    next(chunk for chunk in stream if chunk.text)
    server.look = refuse
    while len(asked) < 4:
        assert engine.health()
        next(stream)
    wait_until(lambda: not engine.health(), 20)
    stream.close()


def test_health_follows_the_server(
    opened: Open, server: CompletionsServer, caplog: pytest.LogCaptureFixture
) -> None:
    engine = opened()
    server.look = look(503)
    wait_until(lambda: not engine.health(), 20)
    server.behave()
    wait_until(engine.health, 20)
    time.sleep(0.2)
    assert caplog.messages == [
        "The engine's server is away: it answers 503.",
        "The engine's server is back.",
    ]

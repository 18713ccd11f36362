"""Our engine as a completions server, asked by OpenAI's client, our engine elsewhere and anyone."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo.checkpoints.resolve import Checkpoint
from demo.engine_server import Server, engine_app, serve
from demo.generation.engine import (
    BUSY,
    OUT_OF_RESOURCES,
    WAITING,
    Chunk,
    Ending,
    EngineError,
)
from demo.generation.openvino.engine import OpenVINOEngine
from demo.generation.openvino.export import export
from demo.generation.openvino.exported import exported_folder
from demo.generation.remote.engine import RemoteEngine
from demo.generation.request import GenerationRequest
from demo.generation.tokens import EncodedPrompt, Tokens, read_tokenizer, readable
from demo.server.service import Service, ready
from demo.settings import InvalidSetting, Settings, read_settings
from tests import tiny
from tests.processes import HTTP, ROOT, command_environment, free_port, wait_until
from tests.scripted import ScriptedEngine
from training.files import resolve_folder

KEY = "k" * 20
BODY: dict[str, Any] = {"prompt": [0, 52, 257], "max_tokens": 5}


def settings_of(**environ: str) -> Settings:
    return read_settings({"GRADIO_SERVER_PORT": str(free_port()), **environ})


@contextmanager
def serving(service: Service, **environ: str) -> Iterator[str]:
    """The server in a thread of this process; its address."""
    chosen = settings_of(**environ)
    server = Server(service, chosen)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    yield f"http://127.0.0.1:{chosen.server_port}/v1"
    server.should_exit = True
    thread.join()


# --- over the real engine ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(noise_folder: Path) -> Checkpoint:
    return Checkpoint(noise_folder, "noise", "0" * 12)


@pytest.fixture(scope="module")
def local(
    checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenVINOEngine]:
    out = tmp_path_factory.mktemp("exported") / "noise"
    export(checkpoint.folder, out)
    engine = OpenVINOEngine(out, checkpoint, slots=4)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def service(local: OpenVINOEngine) -> Service:
    return ready(local)


@pytest.fixture(scope="module")
def url(service: Service) -> Iterator[str]:
    with serving(service, ENGINE_KEY=KEY) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def remote(url: str, checkpoint: Checkpoint) -> Iterator[RemoteEngine]:
    settings = {"ENGINE": "remote", "ENGINE_URL": url, "ENGINE_KEY": KEY, "SLOTS": "4"}
    engine = RemoteEngine(checkpoint, read_settings(settings), print)
    yield engine
    engine.close()


def told(chunks: Generator[Chunk, None, None]) -> tuple[str, Ending]:
    *pieces, last = chunks
    assert last.ending is not None
    return "".join(piece.text for piece in pieces) + last.text, last.ending


def test_the_engine_elsewhere_writes_what_the_one_here_writes(
    local: OpenVINOEngine, remote: RemoteEngine
) -> None:
    assert remote.identity.engine == "remote OpenVINO"
    assert remote.context_tokens == local.context_tokens
    for seed, prompt in enumerate(("", "The teapot", "a<|endoftext|>b", "naïve 🫖 ")):
        request = GenerationRequest(prompt, seed=seed, max_new_tokens=70, repetition_penalty=1.2)
        (here, ours), (there, theirs) = told(local.stream(request)), told(remote.stream(request))
        assert there == here
        assert (theirs.reason, theirs.new_tokens, theirs.prompt_tokens, theirs.max_new_tokens) == (
            ours.reason, ours.new_tokens, ours.prompt_tokens, ours.max_new_tokens,
        )  # fmt: skip


def test_openais_client_gets_the_same_text_in_pieces_and_whole(
    local: OpenVINOEngine, client: openai.OpenAI
) -> None:
    expected = told(local.stream(GenerationRequest("The teapot", 30, 0.7, 0.9, seed=3)))[0]
    (model,) = client.models.list().data
    asked: dict[str, Any] = {
        "model": model.id, "prompt": "The teapot", "max_tokens": 30, "temperature": 0.7,
        "top_p": 0.9, "seed": 3,
    }  # fmt: skip
    whole = client.completions.create(**asked)
    assert whole.choices[0].text == expected
    assert whole.choices[0].finish_reason in ("stop", "length")
    *pieces, last = client.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    )
    assert "".join(piece.choices[0].text for piece in pieces) == expected
    assert [piece.choices[0].finish_reason for piece in pieces][-1]
    assert last.usage == whole.usage
    assert last.usage is not None
    assert last.usage.prompt_tokens == 1 + local.count_tokens("The teapot")


def test_ids_go_in_and_come_out(client: openai.OpenAI, local: OpenVINOEngine) -> None:
    ids = local.tokens.encode("The teapot")
    asked: dict[str, Any] = {"model": "noise", "seed": 1, "max_tokens": 9}
    extra: dict[str, Any] = {"return_token_ids": True}
    whole = client.completions.create(prompt=[0, *ids], **asked, extra_body=extra)
    new = (whole.choices[0].model_extra or {})["token_ids"]
    decoded = local.tokens.decode_continuation([0, *ids], new)
    assert whole.choices[0].text == readable(decoded)


def test_openais_client_raises_its_own_errors(client: openai.OpenAI, url: str) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature is 9"):
        client.completions.create(model="noise", prompt="a", temperature=9)
    with pytest.raises(openai.NotFoundError, match="model must be noise"):
        client.completions.create(model="gpt-2", prompt="a")
    with pytest.raises(openai.AuthenticationError, match="key is missing or wrong"):
        openai.OpenAI(base_url=url, api_key="another", max_retries=0).models.list()


# --- over a scripted one -----------------------------------------------------------------------


@dataclass
class Held(ScriptedEngine):
    """Takes ids, and keeps every text waiting until `go` is set; then it writes an `é`."""

    go: threading.Event = field(default_factory=threading.Event)
    mute: bool = False
    failure: Exception | None = None
    healthy: bool = True
    vocabulary: int = 290

    def __post_init__(self) -> None:
        super().__post_init__()
        self.tokens: Any = None

    def stream_prompt(
        self, prompt: EncodedPrompt, request: GenerationRequest
    ) -> Generator[Chunk, None, None]:
        self.active += 1
        try:
            while not self.go.wait(0.02):
                if not self.mute:
                    yield WAITING
            if self.failure:
                raise self.failure
            ids = tuple(self.tokens.encode("é"))
            yield Chunk("", ids=ids[:1])
            yield Chunk("é", Ending("deadline", 2, 2, 5, 0.1, 0.2), ids[1:])
        finally:
            self.active -= 1

    def health(self) -> bool:
        return self.healthy


@pytest.fixture
def held(noise_folder: Path) -> Held:
    engine = Held()
    engine.tokens = Tokens(read_tokenizer(noise_folder), 0, tiny.CONTEXT)
    engine.go.set()
    return engine


def asked(
    engine: Held | None, body: object = None, path: str = "/v1/completions", **environ: str
) -> httpx.Response:
    """An answer of the app in this process; the model loads if there is no engine."""
    service = ready(engine) if engine else Service(lambda: None)  # type: ignore[arg-type, return-value]

    async def ask() -> httpx.Response:
        app = engine_app(service, settings_of(**environ))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://engine") as client:
            if body is None:
                return await client.get(path)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            return await client.post(path, content=content)

    return asyncio.run(ask())


def problem(answer: httpx.Response) -> tuple[int, str]:
    told = answer.json()
    return answer.status_code, told.get("detail") or told["error"]["message"]


def test_a_text_that_took_too_long_says_so(held: Held) -> None:
    (choice,) = asked(held, BODY).json()["choices"]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("length", "deadline")


def test_a_text_that_fails_before_its_first_word_has_a_status(held: Held) -> None:
    held.failure = EngineError("The engine is tired.")
    answer = asked(held, BODY | {"stream": True})
    assert problem(answer) == (503, "The engine is tired.")
    assert answer.headers["retry-after"] == "2"


REFUSED: dict[str, tuple[object, str]] = {
    "no object": ([], "The request's body must be a JSON object."),
    "no prompt": ({}, "prompt must be one text or one list of token ids."),
    "prompts": (BODY | {"prompt": ["a", "b"]}, "prompt must be one text or one list of token"),
    "no ids": (BODY | {"prompt": []}, "prompt must hold token ids below 290."),
    "unknown id": (BODY | {"prompt": [290]}, "prompt must hold token ids below 290."),
    "true": (BODY | {"prompt": [True]}, "prompt must be one text or one list of token ids."),
    "long": (BODY | {"prompt": [1] * 93}, "prompt and max_tokens come to 98 tokens; this model"),
    "n": (BODY | {"n": 2}, "n must be 1 on this server."),
    "stop": (BODY | {"stop": ["a"]}, "stop must be [] on this server."),
    "echo": (BODY | {"echo": True}, "echo must be false on this server."),
    "stop id": (BODY | {"stop_token_ids": [5]}, "stop_token_ids may hold 0 only."),
    "bad words": (BODY | {"bad_words": ["tea"]}, "bad_words may hold [] only."),
    "least": (BODY | {"min_tokens": 2}, "min_tokens must be 1 on this server."),
    "unknown": (BODY | {"beams": 4}, "beams: Extra inputs are not permitted."),
    "length": (BODY | {"max_tokens": 201}, "max_tokens is 201; it must be from 1 to 200."),
    "top_k": (BODY | {"top_k": -2}, "top_k is -2; it must be from 0 to 200."),
    "seed": (BODY | {"seed": 2**40}, "seed is 1099511627776; it must be from 0 to 2,147,483,647."),
    "control": (BODY | {"prompt": "a\x00"}, "prompt contains the control character U+0000."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_given_is_refused_by_name(held: Held, name: str) -> None:
    body, sentence = REFUSED[name]
    status, message = problem(asked(held, body))
    assert (status, message[: len(sentence)]) == (400, sentence)


def test_what_says_nothing_may_be_sent(held: Held) -> None:
    nothing: dict[str, Any] = {
        "n": 1,
        "stop": None,
        "echo": False,
        "logit_bias": {},
        "top_k": -1,
        "user": "me",
    }
    assert asked(held, BODY | nothing).status_code == 200


def test_a_body_beyond_the_limit_is_not_read(held: Held) -> None:
    assert asked(held, b"[" + b" " * 2_000, MAX_BODY_BYTES="1024").status_code == 413


def test_one_text_more_than_may_wait_is_told_when_to_come_back(held: Held) -> None:
    held.go.clear()
    with serving(ready(held), QUEUE_SIZE="1") as url:
        with HTTP.stream("POST", f"{url}/completions", json={**BODY, "stream": True}) as first:
            lines = first.iter_lines()
            assert next(lines) == ": waiting"
            second = HTTP.post(f"{url}/completions", json=BODY)
            assert problem(second) == (503, BUSY)
            assert second.headers["retry-after"] == "2"
            held.go.set()
            assert "data: [DONE]" in list(lines)
        assert HTTP.post(f"{url}/completions", json=BODY).status_code == 200


def cancelled(service: Service) -> float:
    labels = {"outcome": "cancelled", "reason": "abandoned"}
    return service.counts.registry.get_sample_value("demo_texts_total", labels) or 0.0


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_has_the_text_cancelled(held: Held, stream: bool) -> None:
    held.go.clear()
    service = ready(held)
    with serving(service) as url:
        held.mute = stream
        with httpx.Client(timeout=0.5) as impatient, pytest.raises(httpx.ReadTimeout):
            impatient.post(f"{url}/completions", json={**BODY, "stream": stream})
        held.mute = False
        wait_until(lambda: cancelled(service) == 1 and not held.active, 20)


def test_a_text_whose_thread_does_not_start_is_told_to_come_back(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("demo.server.completions.ThreadPoolExecutor.submit", refuse)
    assert problem(asked(held, BODY)) == (503, OUT_OF_RESOURCES)


def test_probes_need_no_key(held: Held) -> None:
    assert asked(held, path="/v1/models", ENGINE_KEY=KEY).status_code == 401
    assert asked(held, path="/readyz", ENGINE_KEY=KEY).status_code == 200


@pytest.mark.parametrize("path", ["/v1/models", "/readyz"])
def test_a_model_that_loads_or_is_restarted_is_not_there(held: Held, path: str) -> None:
    assert asked(None, path=path).status_code == 503
    held.healthy = False
    assert asked(held, path=path).status_code == 503


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = [*BODY, "model", "temperature", "top_p", "top_k", "repetition_penalty", "seed", "n",
          "stop", "stop_token_ids", "stream", "stream_options", "return_token_ids", "logit_bias",
          "min_p", "echo", "user", "bad_words", "min_tokens"]  # fmt: skip
BODIES = (
    st.dictionaries(st.sampled_from(FIELDS), VALUES).map(lambda odd: BODY | odd)
    | st.dictionaries(st.text(max_size=9), VALUES)
    | st.binary(max_size=40)
    | VALUES
)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(body=BODIES)
def test_no_body_is_answered_with_a_failure(held: Held, body: object) -> None:
    answer = asked(held, b"null" if body is None else body)
    assert answer.status_code in (200, 400, 404)
    if answer.status_code != 200:
        assert problem(answer)[1]


# --- as a process ------------------------------------------------------------------------------


@pytest.mark.usefixtures("exports_here")
def test_it_serves_until_it_is_told_to_stop(noise_folder: Path, tmp_path: Path) -> None:
    """And imports neither Gradio nor torch: an engine's machine needs no more than the engine."""
    port = str(free_port())
    cache, folder = tmp_path / "cache", shutil.copytree(noise_folder, tmp_path / "noise")
    exported_folder(resolve_folder(folder, cache), cache, print)
    variables = {"CHECKPOINT": str(folder), "CACHE_DIR": str(cache)}
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "demo.engine_server"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=command_environment(tmp_path, GRADIO_SERVER_PORT=port, **variables),
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        assert process.poll() is None
        try:
            return HTTP.get(f"{url}/readyz").is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(is_ready, 240)
        assert HTTP.post(f"{url}/v1/completions", json=BODY).is_success
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert out.splitlines()[-1].endswith("Stopped.")
    assert "Text finished." in out
    imported = {line.rpartition("|")[2].strip() for line in err.splitlines()}
    assert not imported & {"gradio", "torch", "transformers"}


def test_it_is_not_for_other_engines() -> None:
    with pytest.raises(InvalidSetting, match="ENGINE is 'transformers'; this server runs openvino"):
        serve(settings_of(ENGINE="transformers"))

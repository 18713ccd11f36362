"""A completions server on loopback that does whatever a test tells it to."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests import tiny

MODEL: dict[str, Any] = {"id": "teapots", "object": "model", "owned_by": "vllm"}
Body = dict[str, Any]


class Handler(BaseHTTPRequestHandler):
    """One request, and ways to answer it. The connection is closed after each."""

    server: "CompletionsServer"

    def do_GET(self) -> None:
        self.server.look(self)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, self.headers["authorization"], body))
        # The engine may leave at any moment.
        with suppress(ConnectionError):
            self.server.write(self, body)

    def answer(
        self,
        status: int = 200,
        content: bytes = b"",
        kind: str = "application/json",
        **headers: str,
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def begin(self) -> None:
        self.answer(kind="text/event-stream; charset=utf-8")

    def event(self, value: Any) -> None:
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")

    def tokens(self, ids: Sequence[Any], reason: str | None = None, **more: Any) -> None:
        """An event as vLLM sends it."""
        choice = {"index": 0, "text": text_of(ids), "token_ids": ids, "finish_reason": reason}
        self.event({"object": "text_completion", "choices": [choice | more]})

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class CompletionsServer(ThreadingHTTPServer):
    """`look` answers for its list of models, `write` for a text; `asked` is what came: path,
    authorization and body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None, Body]] = []
        self.behave()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def behave(self) -> None:
        """Serves one model, which writes one sentence."""
        self.look: Callable[[Handler], None] = lists(MODEL)
        self.write: Callable[[Handler, Body], None] = write_sentence

    def handle_error(self, *_: Any) -> None:
        """Says nothing of connections that are gone."""


@contextmanager
def serving() -> Iterator[CompletionsServer]:
    with CompletionsServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def lists(*models: Body) -> Callable[[Handler], None]:
    content = json.dumps({"object": "list", "data": models}).encode()
    return lambda request: request.answer(content=content)


def write_sentence(request: Handler, body: Body) -> None:
    """A token an event, then why it is over, then the usage alone."""
    request.begin()
    ids = [*sentence_ids(), 0][: body["max_tokens"]]
    for one, text in _in_pieces(ids):
        request.tokens([one], text=text)
    request.tokens([], "stop" if ids[-1] == 0 else "length")
    request.event({"choices": [], "usage": {"completion_tokens": len(ids)}})
    request.wfile.write(b"data: [DONE]\n\n")


def write_sentence_as_llama_server(request: Handler, body: Body) -> None:
    request.begin()
    ids = [*sentence_ids(), 0][: body["n_predict"]]
    for one, text in _in_pieces(ids):
        request.event({"content": text, "tokens": [one], "stop": False})
    stop_type = "eos" if ids[-1] == 0 else "limit"
    request.event({"content": "", "tokens": [], "stop": True, "stop_type": stop_type})


def _in_pieces(ids: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Each token with the text that it completes."""
    sent = ""
    for i, one in enumerate(ids):
        text = text_of(ids[: i + 1]).rstrip("\N{REPLACEMENT CHARACTER}")
        yield one, text[len(sent) :]
        sent = text


def sentence_ids() -> list[int]:
    return list(_TOKENIZER(tiny.SENTENCE)["input_ids"])


def text_of(ids: Sequence[Any]) -> str:
    known = [one for one in ids if type(one) is int and 0 <= one < 290]
    return str(_TOKENIZER.decode(known, skip_special_tokens=True))


_TOKENIZER: Any = tiny.tokenizer()

"""Requests that nobody would send by mistake, drawn by hypothesis, and how one is sent."""

import json
import re
import socket
from collections.abc import Callable, Sequence
from urllib.parse import quote, urlsplit

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

# The same request is sent to its target written in so many ways.
WAYS = 4
# Where the app is served. A proxy in front of it may take that off, or not.
ROOT_PATH = "/a/b"
# In every part of a request that its sender chooses, and nowhere in an app that keeps quiet.
CANARY = "zqcanaryqz"
# Of the app that is fuzzed: nobody is refused for asking too often.
SETTINGS = {
    **dict.fromkeys(("RATE_TEXTS", "RATE_CALLS", "RATE_ROUNDS", "RATE_PARTS"), "1000000/second"),
    "QUEUE_SIZE": "1000",
    "VISITOR_QUEUE": "1000",
    "TEXTS_AT_ONCE": "8",
    "STORIES": "1",
    "GRADIO_ROOT_PATH": ROOT_PATH,
}
READ = [
    "/", "/config", "/theme.css", "/gradio.js", "/plot.png", "/embed.html", "/healthz", "/readyz",
    "/specimen", "/assets/{}", "/static/{}", "/{}", "/svelte/{}", "/manifest.json", "/pwa_icon/{}",
    "/docs", "/monitoring/{}", "/favicon.ico", "/robots.txt", "/static/img/{}/..", "/openapi.json",
    *(
        f"/gradio_api/{route}"
        for route in (
            "call/{}", "call/generate/{}", "call/v2/{}/{}", "queue/data", "queue/status", "info",
            "heartbeat/{}", "openapi.json", "startup-events", "upload_progress", "file={}",
            "file/{}", "proxy={}", "custom_component/{}/client/{}/{}", "deep_link", "user",
            "token", "stream/{}/{}/{}/playlist.m3u8", "app_id", "login_check", "theme.css", "mcp",
            "mcp/schema", "mcp/sse", "mcp/{}", "profiling/{}", "dev/reload",
        )
    ),
]  # fmt: skip
POSTED = [
    "/count", "/guess/next", "/guess/daily", "/guess/answer", "/guess/twin",
    "/login",
    *(
        f"/gradio_api/{route}"
        for route in (
            "call/generate", "call/generate/", "call/generate_many", "call/detect", "call/{}",
            "call/v2/generate", "call/v2/detect/", "call/v2/checkpoint", "call/v2/{}",
            "queue/join", "queue/join", "cancel", "cancel", "reset", "reset/", "upload",
            "component_server", "run/{}", "api/{}", "stream/{}", "mcp/", "mcp/", "mcp/", "mcp",
            "mcp/messages/", "vibe-edit",
        )
    ),
]  # fmt: skip
HEADERS = [
    "Content-Type", "Accept", "Accept-Encoding", "Authorization", "Cookie", "Origin", "Referer",
    "Range", "If-None-Match", "If-Modified-Since", "Transfer-Encoding", "Content-Length", "Expect",
    "Upgrade", "Connection", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
    "X-Gradio-Server", "X-Gradio-Target-Url", "Mcp-Session-Id", "Mcp-Protocol-Version",
    "Last-Event-Id", "X-Demo-Call", "X-Ip-Token", "Content-Encoding", CANARY,
]  # fmt: skip
VALUES = [
    "application/json", "multipart/form-data; boundary=a", "text/event-stream, application/json",
    "chunked", "100-continue", "websocket", "gzip", "bytes=5-1", "identity;q=0", "7", "-1", "*",
]  # fmt: skip

word = st.text(st.characters(exclude_characters="\r\n"), max_size=9).map(lambda text: CANARY + text)
plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), word, st.text(max_size=5),
    st.sampled_from([10**400, -(10**400), "\ud800", "\0", "\u202e", {"path": "/etc/passwd"}]),
)  # fmt: skip
NAMES = [
    "data", "fn_index", "session_hash", "event_data", "event_id", "trigger_id", "text", "prompt",
    "count", "visit", "ticket", "guess", "day", "place", "jsonrpc", "id", "method", "params",
    "arguments", "name",
]  # fmt: skip
name = st.sampled_from(NAMES) | word
value = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(name, inner, max_size=4)
)
# Bodies that come a good way in before they stumble.
call = st.fixed_dictionaries(
    # As many values as our calls take.
    {
        "data": st.sampled_from([0, 1, 1, 7, 7, 8, 9]).flatmap(
            lambda n: st.lists(plain, min_size=n, max_size=n)
        )
    },
    optional={
        "fn_index": st.integers(-2, 20) | plain,
        "session_hash": word | plain,
        "event_data": value,
        "trigger_id": plain,
        "event_id": plain,
    },
)
message = st.fixed_dictionaries(
    {
        "jsonrpc": st.sampled_from(["2.0", "1.0"]),
        "method": st.sampled_from(
            ["initialize", "ping", "tools/call", "tools/list", "prompts/get", "resources/read",
             "completion/complete", "logging/setLevel", "notifications/cancelled", CANARY]
        ),
        "params": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["detect", "generate", "checkpoint", CANARY]) | plain,
                "arguments": st.dictionaries(name, value, max_size=3),
                "uri": word,
                "protocolVersion": plain,
                "capabilities": value,
                "clientInfo": value,
                "level": plain,
                "requestId": plain,
            },
        ),
    },
    optional={"id": plain, "result": value, "error": value},
)  # fmt: skip
parameters = st.sampled_from(["prompt", "text", "count", "seed", "top_k", "temperature"])
fields = st.dictionaries(name, value, max_size=4) | st.dictionaries(parameters, plain, max_size=3)
document = (call | message | st.lists(message, max_size=2) | fields | value).map(json.dumps)
body = st.one_of(
    document.map(str.encode),
    document.map(str.encode),
    document.map(lambda text: text.encode("utf-16")),
    document.map(lambda text: text.encode()[:-1]),
    st.tuples(document, st.binary(max_size=4)).map(lambda pair: pair[0].encode() + pair[1]),
    st.sampled_from(
        [
            b"", b"null", b"[" * 50_000, b'{"a":' * 9_000, b'{"data": NaN}', b'{"data": [1e999]}',
            b'"\\ud800"', b'{"data": [], "data": []}', b'{"text": "\xff"}', b"x" * 70_000,
            b'{"data": [' + b"9" * 5_000 + b"]}",
        ]
    ),
)  # fmt: skip
MANGLED: list[Callable[[str], str]] = [
    str,
    lambda path: path + "/", lambda path: path + "//", lambda path: ROOT_PATH + path,
    lambda path: 2 * ROOT_PATH + path, lambda path: f"{ROOT_PATH}/{path}",
    lambda path: "/" + path, lambda path: path.replace("/", "//", 2), str.upper,
    lambda path: path + ";" + CANARY, lambda path: f"/{CANARY}/..{path}", lambda p: p + "%00",
    lambda path: path.replace("a", "%61"), lambda path: f"http://{CANARY}{path}",
    lambda path: path + "%ff%2f..", lambda path: path[1:],
]  # fmt: skip


def quoted(text: str) -> str:
    """For an address, also what is no Unicode."""
    return quote(text.encode(errors="surrogatepass"), safe="/;")


@st.composite
def targets(draw: st.DrawFn, routes: Sequence[str]) -> Sequence[bytes]:
    """One route, and how it could be written to pass a guard by."""
    path = draw(st.sampled_from(routes))
    while "{}" in path:
        path = path.replace("{}", quoted(draw(word)), 1)
    query = draw(st.lists(st.tuples(name | st.just("page"), word), max_size=2))
    given = "&".join(f"{quoted(key)}={quoted(text)}" for key, text in query)
    ways = [
        MANGLED[0],
        *draw(st.lists(st.sampled_from(MANGLED), min_size=WAYS - 1, max_size=WAYS - 1)),
    ]
    return [(way(path) + ("?" + given if given else "")).encode() for way in ways]


@st.composite
def requests(draw: st.DrawFn) -> Sequence[bytes]:
    """Whole requests as they go over the wire, alike but for their target."""
    is_posted = draw(st.sampled_from([True, True, False]))
    odd_method = st.sampled_from(["HEAD", "PUT", "OPTIONS", "DELETE", "CONNECT", CANARY])
    usual = st.just("POST" if is_posted else "GET")
    method = draw(st.one_of(*[usual] * 9, odd_method))
    content = draw(body) if is_posted else b""
    odd = st.tuples(st.sampled_from(HEADERS), st.sampled_from(VALUES) | word)
    headers = [
        ("Host", draw(st.sampled_from(["127.0.0.1", "127.0.0.1", CANARY]))),
        ("Content-Type", draw(st.sampled_from(VALUES[:1] * 9 + VALUES))),
        ("Accept", "text/event-stream, application/json"),
        ("Content-Length", str(len(content))),
        *draw(st.lists(odd, max_size=2)),
    ]
    lines = [f"{key}: {text}".encode(errors="surrogatepass") for key, text in headers]
    rest = b"\r\n".join([b" HTTP/1.1", *lines, b"", content])
    return [
        method.encode() + b" " + target + rest
        for target in draw(targets(POSTED if is_posted else READ))
    ]


def send_drawn(
    count: int, send: Callable[[Sequence[bytes]], None], *, derandomize: bool = False
) -> None:
    """Draws so many requests, and hands over those together that are alike but for their target.
    With `derandomize` they are the same each time."""
    drawn = given(requests())(lambda alike: send(alike))
    settings(
        max_examples=max(1, count // WAYS), deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), derandomize=derandomize,
    )(drawn)()  # fmt: skip


def exchange(url: str, request: bytes, timeout: float) -> bytes:
    """What comes first of the answer; nothing if the server hangs up, or waits for more."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout) as connection:
        try:
            connection.sendall(request)
            return connection.recv(10_000)
        except (ConnectionError, TimeoutError):
            return b""


def status(url: str, request: bytes, timeout: float = 0.5) -> int:
    """Of the answer; of a call that was let in, that of its stream. 0 if there is none in time."""
    answer = exchange(url, request, timeout)
    event = re.search(rb'"event_id":"(\w+)"', answer)
    if event:
        route = b"GET /gradio_api/call/generate/%b HTTP/1.1\r\nhost: a\r\n\r\n"
        answer = exchange(url, route % event[1], timeout)
    return int(answer.split()[1]) if answer else 0

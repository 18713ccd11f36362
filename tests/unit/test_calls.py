"""What a call's body may hold, on each route, and which route a guard sees."""

import json
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.server.calls import (
    NOT_A_LIST,
    NOT_AN_OBJECT,
    UNKNOWN_CALL,
    Calls,
    Signature,
    texts_asked_for,
)
from demo.server.limits import MAX_DEPTH, NOT_JSON, BodyMiddleware
from tests.unit.test_limits import answer, doors, echo

CALLS: Calls = {
    "detect": Signature({"text": True}),
    "write": Signature({"text": False, "seed": False, "exact": False, "other": False}),
    2: Signature({"text": True}),
    "checkpoint": Signature({}),
}
DETECT = "/gradio_api/call/detect"
NAMED = "/gradio_api/call/v2/detect"
WRITE = "/gradio_api/call/v2/write"
JOIN = "/gradio_api/queue/join"
MCP = "/gradio_api/mcp/"
CANCEL = "/gradio_api/cancel"
RESET = "/gradio_api/reset"
FILE = {"path": "https://example.com/a", "meta": {"_type": "gradio.FileData"}}


def bodies(app: ASGIApp) -> BodyMiddleware:
    return BodyMiddleware(app, 70_000, CALLS)


def why(path: str, body: Any) -> str:
    """The sentence that a request is refused with; empty if it passes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, sent = answer(bodies(echo), [content], path=path, method="POST")
    assert status in (200, 400)
    return "" if status == 200 else str(json.loads(sent)["detail"])


def told(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (DETECT, {"data": ["a"]}),
        (DETECT, {"data": [None], "session_hash": "x"}),
        (NAMED, {"text": "a"}),
        (WRITE, {"text": "a", "seed": 7, "exact": True, "other": None}),
        (WRITE, {}),
        ("/gradio_api/call/checkpoint", {"data": []}),
        (JOIN, {"data": [0.5], "fn_index": 2, "session_hash": "x", "trigger_id": 3}),
        (JOIN, {"data": [1], "fn_index": 2, "event_data": {"index": 3, "value": "About"}}),
        (JOIN, {"data": [1], "fn_index": 2, "event_data": None}),
        (MCP, told("tools/call", name="detect", arguments={"text": "a"})),
        (MCP, told("tools/call", name="checkpoint")),
        (MCP, told("initialize", capabilities={"roots": {"listChanged": True}})),
        (MCP, {"jsonrpc": "2.0", "method": "notifications/initialized"}),
        (MCP, [told("ping"), told("tools/list")]),
        (CANCEL, {"session_hash": "x", "fn_index": 2, "event_id": "y"}),
        (RESET, {"event_id": "y"}),
        ("/guess/next", {"visit": ["what its own route refuses"]}),
        (NAMED, {"text": "\U0001f600"}),
        (WRITE, {"seed": 10**30, "text": "what its function refuses"}),
    ],
)
def test_plain_values_pass(path: str, body: Any) -> None:
    assert why(path, body) == ""


@pytest.mark.parametrize("value", [FILE, [FILE], ["a"], {}, []])
@pytest.mark.parametrize(
    ("path", "around", "name"),
    [
        (DETECT, lambda value: {"data": [value]}, "data[0]"),
        (DETECT, lambda value: {"data": ["a"], "session_hash": value}, "session_hash"),
        (JOIN, lambda value: {"data": [value], "fn_index": 2}, "data[0]"),
        (
            JOIN,
            lambda value: {"data": ["a"], "fn_index": 2, "event_data": {"file": value}},
            "file",
        ),
        (JOIN, lambda value: {"data": ["a"], "fn_index": value}, "fn_index"),
        (NAMED, lambda value: {"text": value}, "text"),
        (MCP, lambda value: told("tools/call", name="detect", arguments={"text": value}), "text"),
        (
            MCP,
            lambda value: [told("ping"), told("tools/call", arguments={"text": value})],
            "text",
        ),
        (
            "/gradio_api/mcp/messages/",
            lambda value: told("prompts/get", name="x", arguments={"text": value}),
            "text",
        ),
    ],
)
def test_anything_else_is_refused_by_name(path: str, around: Any, name: str, value: Any) -> None:
    assert why(path, around(value)) == f"{name} must be a text, a number, true, false or null."


def nested(levels: int) -> bytes:
    return b'{"params": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize("path", [DETECT, NAMED, JOIN, MCP, CANCEL, RESET, "/count", "/guess/next"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\xff",
        b"data=1",
        b"[" * 60_000,
        nested(MAX_DEPTH + 1),
        b'{"data": [NaN]}',
        b'{"data": [-Infinity]}',
        b'{"data": [1e999]}',
        b'{"data": [' + b"9" * 400 + b"]}",
        b'{"data": [' + b"9" * 5_000 + b"]}",
        b'{"data": ["\\ud800"]}',
        b'{"\\udfff": 1}',
        b'{"text": "\xff"}',
        '{"text": "a"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"text": "a"}',
        b'{"data": ["a"], "data": [{"path": "https://example.com/a"}]}',
        b'{"text": "a", "te\\u0078t": ["b"]}',
        b'{"params": {"arguments": {}, "arguments": {"text": []}}}',
    ],
)
def test_a_body_that_readers_could_take_differently_is_refused(path: str, content: bytes) -> None:
    assert why(path, content) == NOT_JSON


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        (DETECT, ["a"], NOT_AN_OBJECT),
        (NAMED, [FILE], NOT_AN_OBJECT),
        (JOIN, "a", NOT_AN_OBJECT),
        (MCP, [[told("ping")]], NOT_AN_OBJECT),
        (MCP, [], NOT_AN_OBJECT),
        (CANCEL, [], NOT_AN_OBJECT),
        (RESET, None, NOT_AN_OBJECT),
        ("/count", ["a"], NOT_AN_OBJECT),
        (CANCEL, {"session_hash": "x", "fn_index": 2}, "event_id must be a text."),
        (CANCEL, {"session_hash": 1}, "session_hash must be a text."),
        (
            CANCEL,
            {"session_hash": "x", "fn_index": True, "event_id": "y"},
            "fn_index must be a whole number.",
        ),
        (RESET, {"event_id": FILE}, "event_id must be a text."),
        (f"{RESET}/", {}, "event_id must be a text."),
        (DETECT, {"data": ["a"], "session_hash": 5}, "session_hash must be a text."),
        (
            JOIN,
            {"data": [1], "fn_index": 2, "trigger_id": "x"},
            "trigger_id must be a whole number.",
        ),
        (JOIN, {"data": [1], "fn_index": 2, "batched": True}, "batched must be false."),
        (DETECT, {}, NOT_A_LIST),
        (DETECT, {"data": {"0": "a"}}, NOT_A_LIST),
        (JOIN, {"data": None, "fn_index": 2}, NOT_A_LIST),
        (JOIN, {"data": ["a"], "fn_index": "2"}, "fn_index must be a whole number."),
        (JOIN, {"data": ["a"], "fn_index": True}, "fn_index must be a whole number."),
        (JOIN, {"data": ["a"]}, "fn_index must be a whole number."),
        (JOIN, {"data": ["a"], "fn_index": 999}, UNKNOWN_CALL),
        ("/gradio_api/call/teapot", {"data": []}, UNKNOWN_CALL),
        ("/gradio_api/call/v2/teapot", {}, UNKNOWN_CALL),
        (NAMED, {"text": "a", "teapot": 1}, UNKNOWN_CALL),
        (NAMED, {"text": "a", "teapot": []}, UNKNOWN_CALL),
        (NAMED, {}, "text must be given."),
        (MCP, {"params": ["a"]}, "params must be an object."),
        (MCP, told("tools/call", arguments=[FILE]), "arguments must be an object."),
    ],
)
def test_a_body_of_another_shape_is_refused(path: str, body: Any, sentence: str) -> None:
    assert why(path, body) == sentence


@pytest.mark.parametrize("path", [DETECT, f"{DETECT}/", JOIN])
def test_a_wrong_number_of_values_is_refused(path: str) -> None:
    assert "data holds 2 values; this call takes 1" in why(path, {"data": [1, 2], "fn_index": 2})


def test_as_many_levels_as_are_allowed_pass() -> None:
    assert why(MCP, nested(MAX_DEPTH)) == "params must be an object."


def test_a_long_name_is_not_repeated_whole() -> None:
    assert len(why(MCP, told("tools/call", arguments={"x" * 9_000: []}))) < 100


@pytest.mark.parametrize("path", [DETECT, JOIN, CANCEL, f"{RESET}/", MCP])
@pytest.mark.parametrize("kind", [b"", b"text/plain", b"application/x-www-form-urlencoded"])
def test_a_body_that_does_not_say_it_is_json_is_refused(path: str, kind: bytes) -> None:
    headers = [(b"content-type", kind)]
    status, _ = answer(bodies(echo), [b"{}"], path=path, method="POST", headers=headers)
    assert status == 415


@pytest.mark.parametrize("root_path", ["", "/demo", "/a/b"])
@pytest.mark.parametrize("route", [CANCEL, RESET, "/count", "/guess/answer", MCP])
def test_no_post_passes_without_strict_json(root_path: str, route: str) -> None:
    calls = bodies(echo)
    at = {"root_path": root_path, "method": "POST"}
    for path in (route, root_path + route):
        assert answer(calls, [b'{"a": NaN}'], path=path, **at)[0] == 400


@pytest.mark.parametrize("root_path", ["", "/demo", "/a/b"])
def test_guards_hold_under_every_path_that_the_app_is_served_at(root_path: str) -> None:
    at = {"root_path": root_path, "method": "POST"}
    calls = bodies(echo)
    body = json.dumps({"data": [FILE]}).encode()
    assert answer(calls, [body], path=root_path + DETECT, **at)[0] == 400
    assert answer(doors(echo), [b""], path=f"{root_path}/gradio_api/upload", **at)[0] == 404
    # A proxy may have taken the prefix off.
    assert answer(calls, [body], path=DETECT, **at)[0] == 400
    page = answer(doors(echo), [b""], path=f"{root_path}/", query_string=b"page=x", **at)
    assert page == (200, b"?")


@pytest.mark.parametrize("error", [KeyError("teapot"), TypeError("teapot")])
def test_a_fault_of_ours_in_a_call_is_not_the_callers_mistake(error: Exception) -> None:
    """It reaches the server, which logs it and answers 500."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    app = doors(bodies(broken))
    body = json.dumps({"text": "a"}).encode()
    with pytest.raises(type(error), match="teapot"):
        answer(app, [body], path=NAMED, method="POST")


TEXTS: Calls = {
    "generate": Signature({"prompt": False}, asks_for_texts=True),
    "generate_many": Signature({"prompt": False, "count": False}, asks_for_texts=True),
    5: Signature({"prompt": False, "count": False}, asks_for_texts=True),
    6: Signature({"prompt": False}, asks_for_texts=True),
    "detect": Signature({"text": True}),
}


@pytest.mark.parametrize(
    ("path", "body", "texts"),
    [
        ("/gradio_api/call/v2/generate", {"prompt": "a"}, 1),
        ("/gradio_api/call/v2/generate/", {}, 1),
        ("/gradio_api/call/v2/generate_many", {"count": 3}, 3),
        ("/gradio_api/call/v2/generate_many", {}, 4),
        ("/gradio_api/call/v2/generate_many", {"count": 10**9}, 1),
        ("/gradio_api/call/v2/generate_many", {"count": "3"}, 1),
        ("/gradio_api/call/generate_many", {"data": ["a", 2]}, 2),
        (JOIN, {"data": ["a", 4], "fn_index": 5}, 4),
        (JOIN, {"data": ["a"], "fn_index": 6}, 1),
        (JOIN, {"data": ["a"], "fn_index": 7}, 0),
        ("/gradio_api/call/v2/detect", {"text": "a"}, 0),
        (MCP, told("tools/call", name="generate_many", arguments={"count": 2}), 2),
        (MCP, told("tools/call", name="space_generate", arguments={}), 1),
        # Whatever a tool does, Gradio calls itself over HTTP.
        (MCP, told("tools/call", name="detect", arguments={"text": "a"}), 1),
        (MCP, [told("ping"), told("tools/call", name="detect")], 1),
        (MCP, told("tools/list"), 0),
        (MCP, [told("tools/call", name="generate"), told("tools/call", name="generate_many")], 5),
    ],
)
def test_a_call_says_how_many_texts_it_asks_for(path: str, body: Any, texts: int) -> None:
    assert texts_asked_for(path, body, TEXTS) == texts


def test_the_app_is_given_the_value_that_was_checked() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert Request(scope).state.body == {"text": "a"}
        await echo(scope, receive, send)

    pieces = [b'{"text":', b' "a"}']
    assert answer(bodies(app), pieces, path=NAMED, method="POST") == (200, b'{"text": "a"}?')

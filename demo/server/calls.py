"""What the body of a call may hold: plain values, those that the call takes."""

import json
from collections.abc import Container, Iterable, Mapping
from typing import Any

from demo.generation.request import COUNT
from demo.strict_json import parse_json

# Enough for everything that MCP's clients say of themselves.
MAX_DEPTH = 20
NOT_JSON = (
    "The request's body must be JSON in UTF-8 with finite numbers, whole characters, "
    f"no name twice in an object and at most {MAX_DEPTH} levels."
)
NOT_AN_OBJECT = "The request's body must be a JSON object."

# The parameters of each call and whether each must be given, by the names and numbers that Gradio
# gives the calls.
Calls = Mapping[str | int, Mapping[str, bool]]

# Gradio's calls by name with named values, by name with a list, by number with a list; MCP's.
NAMED_CALL = "/gradio_api/call/v2/"
LISTED_CALL = "/gradio_api/call/"
NUMBERED_CALL = "/gradio_api/queue/join"
MCP_CALL = "/gradio_api/mcp"
CANCEL = "/gradio_api/cancel"
RESET = "/gradio_api/reset"

CALL_ROUTES = (LISTED_CALL, NUMBERED_CALL, MCP_CALL)
# What these two take beside nothing else.
_FORMS: Mapping[str, Mapping[str, type]] = {
    CANCEL: {"session_hash": str, "fn_index": int, "event_id": str},
    RESET: {"event_id": str},
}
# What a call may carry beside its values, and what it must then be: Gradio's answer to anything
# else would repeat the whole body.
_EXTRAS: Mapping[str, type] = {
    "session_hash": str,
    "event_id": str,
    "oauth_token": str,
    "fn_index": int,
    "trigger_id": int,
    "simple_format": bool,
}
_KINDS = {str: "a text", int: "a whole number", bool: "true or false"}

NOT_A_LIST = "data must be a list of the call's values."
UNKNOWN_CALL = "No such endpoint or parameter; /gradio_api/openapi.json lists them."
NOT_A_NUMBER = "fn_index must be a whole number."
# The parameter that says how many texts a call asks for.
_COUNT = "count"
# Of a name that the sender chose, at most so many characters are repeated.
_SHOWN_CHARACTERS = 40


class InvalidBody(ValueError):
    """A body that is refused; the message is a sentence for its sender."""


def read_json(content: bytes) -> Any:
    """The value that a body holds.

    Raises:
        InvalidBody: it is not strict JSON.
    """
    try:
        return parse_json(content, MAX_DEPTH)
    except ValueError:
        raise InvalidBody(NOT_JSON) from None


def read_object(content: bytes) -> dict[str, Any]:
    """The object that a body holds.

    Raises:
        InvalidBody: it holds none.
    """
    value = read_json(content)
    if not isinstance(value, dict):
        raise InvalidBody(NOT_AN_OBJECT)
    return value


def why_refused(path: str, content: bytes, calls: Calls) -> str:
    """Why the request with that route and body is refused, in a sentence; empty if it may pass.

    Gradio downloads, or copies, whatever looks like its file object before a function is asked.
    None of ours takes a file, so nothing but texts, numbers, booleans and null may pass.
    """
    try:
        body = read_json(content)
    except InvalidBody as error:
        return str(error)
    if path.startswith(MCP_CALL):
        return _first(_why_no_message(message) for message in _messages(body))
    if not isinstance(body, dict):
        return NOT_AN_OBJECT
    form = _FORMS.get(path.rstrip("/"))
    if form is not None:
        return _first(_why_not_a(kind, name, body.get(name)) for name, kind in form.items())
    if not path.startswith(CALL_ROUTES):
        # A route of our own, which knows what it takes, or none at all.
        return ""
    if path.startswith(NAMED_CALL):
        return _why_not_plain(body) or _why_misnamed(calls.get(_name(path)), body)
    return _why_not_listed(body) or _why_miscounted(path, body, calls)


def texts_asked_for(
    path: str, content: bytes, calls: Calls, text_calls: Container[str | int]
) -> int:
    """How many texts a call that was not refused asks the engine for; 0 if it asks for none."""
    body = json.loads(content)
    if path.startswith(MCP_CALL):
        asked = [message.get("params") or {} for message in _messages(body)]
        names = [_tool(params.get("name"), calls) for params in asked]
        return sum(
            _count(name, params.get("arguments") or {}, calls)
            for name, params in zip(names, asked, strict=True)
            if name in text_calls
        )
    name = body["fn_index"] if path.startswith(NUMBERED_CALL) else _name(path)
    if name not in text_calls:
        return 0
    is_named = path.startswith(NAMED_CALL)
    values = body if is_named else dict(zip(calls[name], body["data"], strict=False))
    return _count(name, values, calls)


def is_tool_call(content: bytes) -> bool:
    """Whether a body that was not refused calls a tool of MCP."""
    return any(one.get("method") == "tools/call" for one in _messages(json.loads(content)))


def _tool(name: Any, calls: Calls) -> str:
    """The call of an MCP tool; on a Space, Gradio puts the Space's name before it."""
    names = sorted((one for one in calls if isinstance(one, str)), key=len, reverse=True)
    return next((one for one in names if str(name).endswith(one)), "")


def _count(name: str | int, values: Mapping[str, Any], calls: Calls) -> int:
    if _COUNT not in calls[name]:
        return 1
    count = values.get(_COUNT, COUNT.maximum)
    # Anything else the function refuses.
    is_number = isinstance(count, int | float) and COUNT.minimum <= count <= COUNT.maximum
    return int(count) if is_number else 1


def _messages(body: Any) -> list[Any]:
    """JSON-RPC allows batches; an empty one is refused as if it were a message."""
    return body if isinstance(body, list) and body else [body]


def _why_no_message(message: Any) -> str:
    """Of a JSON-RPC message, only what a tool or a prompt is called with has to be plain."""
    if not isinstance(message, dict):
        return NOT_AN_OBJECT
    params = message.get("params") or {}
    if not isinstance(params, dict):
        return "params must be an object."
    arguments = params.get("arguments") or {}
    if not isinstance(arguments, dict):
        return "arguments must be an object."
    return _why_not_plain(arguments)


def _why_not_listed(body: Mapping[str, Any]) -> str:
    data = body.get("data")
    if not isinstance(data, list):
        return NOT_A_LIST
    # Gradio would look for several requests in this one.
    if body.get("batched"):
        return "batched must be false."
    # The page says which tab was opened in an object of plain values.
    event = body.get("event_data")
    happened = event if isinstance(event, dict) else {"event_data": event}
    others = {name: value for name, value in body.items() if name not in ("data", "event_data")}
    values = {f"data[{place}]": value for place, value in enumerate(data)}
    extras = (
        _why_not_a(_EXTRAS[name], name, value)
        for name, value in others.items()
        if name in _EXTRAS and value is not None
    )
    return _first((*(_why_not_plain(part) for part in (values, happened, others)), *extras))


def _why_miscounted(path: str, body: Mapping[str, Any], calls: Calls) -> str:
    """Gradio would log all values of a call with too few or too many, and they are a visitor's."""
    name: Any = body.get("fn_index") if path.startswith(NUMBERED_CALL) else _name(path)
    # Gradio also takes "1" and true for 1.
    if path.startswith(NUMBERED_CALL) and (isinstance(name, bool) or not isinstance(name, int)):
        return NOT_A_NUMBER
    parameters = calls.get(name)
    if parameters is None:
        return UNKNOWN_CALL
    given, taken = len(body["data"]), len(parameters)
    if given == taken:
        return ""
    return f"data holds {given} values; this call takes {taken}, in the order of its parameters."


def _why_misnamed(parameters: Mapping[str, bool] | None, body: Mapping[str, Any]) -> str:
    """Gradio would end in a 500, as if it were our fault."""
    if parameters is None or not body.keys() <= parameters.keys():
        return UNKNOWN_CALL
    missing = (name for name, is_required in parameters.items() if is_required and name not in body)
    return _first(f"{name} must be given." for name in missing)


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _why_not_plain(values: Mapping[str, Any]) -> str:
    """The first value that is neither a text, a number, a boolean nor null."""
    for name, value in values.items():
        if value is not None and not isinstance(value, str | int | float):
            shown = name[:_SHOWN_CHARACTERS]
            return f"{shown} must be a text, a number, true, false or null."
    return ""


def _why_not_a(kind: type, name: str, value: Any) -> str:
    # To Python, true is a number.
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    return "" if fits else f"{name} must be {_KINDS[kind]}."


def _first(sentences: Iterable[str]) -> str:
    return next((sentence for sentence in sentences if sentence), "")

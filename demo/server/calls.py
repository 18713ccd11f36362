"""Which request bodies a route accepts, and how many texts one asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException

from demo.generation.request import COUNT


@dataclass(frozen=True)
class Signature:
    """A call's parameters, each with whether it is required, and whether it asks for texts."""

    parameters: Mapping[str, bool]
    asks_for_texts: bool = False


# By the names and numbers that Gradio gives the calls.
Calls = Mapping[str | int, Signature]

# Gradio's calls by name with named values, by name with a list, by number with a list; MCP's.
NAMED_CALL = "/gradio_api/call/v2/"
LISTED_CALL = "/gradio_api/call/"
NUMBERED_CALL = "/gradio_api/queue/join"
MCP_CALL = "/gradio_api/mcp"
# The answers of a page's or a client's calls.
STREAM = "/gradio_api/queue/data"
CANCEL = "/gradio_api/cancel"
RESET = "/gradio_api/reset"

CALL_ROUTES = (LISTED_CALL, NUMBERED_CALL, MCP_CALL)
# These two take exactly these fields.
_FORMS: Mapping[str, Mapping[str, type]] = {
    CANCEL: {"session_hash": str, "fn_index": int, "event_id": str},
    RESET: {"event_id": str},
}
# Optional fields of a call beside its values. To one of another type, Gradio's answer would repeat
# the whole body.
_EXTRAS: Mapping[str, type] = {
    "session_hash": str,
    "event_id": str,
    "oauth_token": str,
    "fn_index": int,
    "trigger_id": int,
    "simple_format": bool,
}
_KINDS = {str: "a text", int: "a whole number", bool: "true or false"}

NOT_AN_OBJECT = "The request's body must be a JSON object."
NOT_A_LIST = "data must be a list of the call's values."
UNKNOWN_CALL = "No such endpoint or parameter; /gradio_api/openapi.json lists them."
# The parameter that says how many texts a call asks for.
_COUNT = "count"
# An error repeats at most so many characters of a name that the sender chose.
_SHOWN_CHARACTERS = 40


def check_body(path: str, body: Any, calls: Calls) -> None:
    """Refuses a body that the route does not accept: raises HTTPException 400. Gradio downloads, or
    copies, whatever looks like its file object before a function is asked. None of ours takes a
    file, so nothing but texts, numbers, booleans and null may pass."""
    if path.startswith(MCP_CALL):
        for message in _messages(body):
            _check_message(message)
        return
    _require_object(body)
    if form := _FORMS.get(path.rstrip("/")):
        for name, kind in form.items():
            _require(kind, name, body.get(name))
    elif path.startswith(NAMED_CALL):
        _check_names(body, _signature(path, body, calls))
        _require_plain(body)
    elif path.startswith(CALL_ROUTES):
        _check_list(body)
        if path.startswith(NUMBERED_CALL):
            # Gradio also takes "1" and true for 1.
            _require(int, "fn_index", body.get("fn_index"))
        _check_length(body, _signature(path, body, calls))
    # Any other path is one of our own routes, which check their fields, or is not found.


def texts_asked_for(path: str, body: Any, calls: Calls) -> int:
    """How many texts an accepted body asks the engine for. Messages that call tools of MCP count as
    one at least: each makes Gradio call itself over HTTP."""
    if path.startswith(MCP_CALL):
        messages = _messages(body)
        asked = [message.get("params") or {} for message in messages]
        texts = sum(
            _texts(_tool(params.get("name"), calls), params.get("arguments") or {})
            for params in asked
        )
        return max(texts, int(any(one.get("method") == "tools/call" for one in messages)))
    signature = _signature(path, body, calls)
    if signature is None or path.startswith(NAMED_CALL):
        return _texts(signature, body)
    return _texts(signature, dict(zip(signature.parameters, body["data"], strict=True)))


def _signature(path: str, body: Mapping[str, Any], calls: Calls) -> Signature | None:
    numbered = path.startswith(NUMBERED_CALL)
    return calls.get(body["fn_index"] if numbered else path.rstrip("/").rpartition("/")[2])


def _tool(name: Any, calls: Calls) -> Signature | None:
    """The call of an MCP tool; on a Space, Gradio puts the Space's name before it."""
    names = sorted((one for one in calls if isinstance(one, str)), key=len, reverse=True)
    return next((calls[one] for one in names if str(name).endswith(one)), None)


def _texts(signature: Signature | None, values: Mapping[str, Any]) -> int:
    if signature is None or not signature.asks_for_texts:
        return 0
    if _COUNT not in signature.parameters:
        return 1
    count = values.get(_COUNT, COUNT.maximum)
    # Anything else the function refuses.
    is_number = isinstance(count, int | float) and COUNT.minimum <= count <= COUNT.maximum
    return int(count) if is_number else 1


def _messages(body: Any) -> list[Any]:
    """JSON-RPC allows batches; an empty one is refused as if it were a message."""
    return body if isinstance(body, list) and body else [body]


def _check_message(message: Any) -> None:
    """Of a JSON-RPC message, only what a tool or a prompt is called with has to be plain."""
    _require_object(message)
    params = message.get("params") or {}
    if not isinstance(params, dict):
        raise _refusal("params must be an object.")
    arguments = params.get("arguments") or {}
    if not isinstance(arguments, dict):
        raise _refusal("arguments must be an object.")
    _require_plain(arguments)


def _check_names(body: Mapping[str, Any], signature: Signature | None) -> None:
    """Gradio would answer 500, as if it were our fault."""
    if signature is None or not body.keys() <= signature.parameters.keys():
        raise _refusal(UNKNOWN_CALL)
    for name, is_required in signature.parameters.items():
        if is_required and name not in body:
            raise _refusal(f"{name} must be given.")


def _check_list(body: Mapping[str, Any]) -> None:
    data = body.get("data")
    if not isinstance(data, list):
        raise _refusal(NOT_A_LIST)
    # Gradio would look for several requests in this one.
    if body.get("batched"):
        raise _refusal("batched must be false.")
    _require_plain({f"data[{place}]": value for place, value in enumerate(data)})
    # The page says which tab was opened in an object of plain values.
    event = body.get("event_data")
    _require_plain(event if isinstance(event, dict) else {"event_data": event})
    others = {name: value for name, value in body.items() if name not in ("data", "event_data")}
    _require_plain(others)
    for name, value in others.items():
        if name in _EXTRAS and value is not None:
            _require(_EXTRAS[name], name, value)


def _check_length(body: Mapping[str, Any], signature: Signature | None) -> None:
    """Gradio would log all values of a call with too few or too many, and they are a visitor's."""
    if signature is None:
        raise _refusal(UNKNOWN_CALL)
    given, taken = len(body["data"]), len(signature.parameters)
    if given != taken:
        raise _refusal(
            f"data holds {given} values; this call takes {taken}, in the order of its parameters."
        )


def _require_object(body: Any) -> None:
    if not isinstance(body, dict):
        raise _refusal(NOT_AN_OBJECT)


def _require_plain(values: Mapping[str, Any]) -> None:
    """Each value must be a text, a number, a boolean or null."""
    for name, value in values.items():
        if value is not None and not isinstance(value, str | int | float):
            shown = name[:_SHOWN_CHARACTERS]
            raise _refusal(f"{shown} must be a text, a number, true, false or null.")


def _require(kind: type, name: str, value: Any) -> None:
    # Not isinstance: to Python, true is a number.
    if type(value) is not kind:
        raise _refusal(f"{name} must be {_KINDS[kind]}.")


def _refusal(sentence: str) -> HTTPException:
    return HTTPException(400, sentence)

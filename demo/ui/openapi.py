"""Gradio's OpenAPI file with what it leaves out: results as objects, required fields, limits."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from demo.generation.request import MAX_PROMPT_CHARACTERS
from demo.server.calls import LISTED_CALL, NAMED_CALL, Calls
from demo.ui.api import LIMITS
from demo.ui.detect import MAX_CHARACTERS
from demo.ui.results import CheckpointResult, DetectResult, TextResult, TextsResult

RESULTS: Mapping[str, type] = {
    "generate": TextResult,
    "generate_many": TextsResult,
    "detect": DetectResult,
    "checkpoint": CheckpointResult,
}
# By the name of a parameter.
_BOUNDS: Mapping[str, Mapping[str, float]] = {
    **{name: {"minimum": least, "maximum": most} for name, (least, most) in LIMITS.items()},
    "prompt": {"maxLength": MAX_PROMPT_CHARACTERS},
    "text": {"maxLength": MAX_CHARACTERS},
}
# Gradio's types may be null, which 3.0 does not know.
VERSION = "3.1.0"
_SCHEMAS = "#/components/schemas/"
_REFUSED = {
    "description": "Refused, in a sentence for people; with 429 and 503, Retry-After says when.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"detail": {"type": "string"}},
                "required": ["detail"],
            }
        }
    },
}
_EVENTS = (
    "Server-sent events. `data` of each `generating` and of the last one, `complete`, is this "
    "array; of `error`, an object with `error`, a sentence or null."
)
_UPLOAD = "/gradio_api/upload"


def complete_openapi(text: str, calls: Calls) -> str:
    """The file as it should be. Raises KeyError or ValueError if Gradio wrote another one than this
    was made for."""
    told = json.loads(text)
    told["openapi"] = VERSION
    # The demo refuses it.
    told["paths"].pop(_UPLOAD, None)
    schemas: dict[str, Any] = {}
    for name, result in RESULTS.items():
        schema = TypeAdapter(result).json_schema(ref_template=f"{_SCHEMAS}{{model}}")
        schemas.update(schema.pop("$defs", {}), **{result.__name__: schema})
        post = told["paths"][f"{NAMED_CALL}{name}"]["post"]
        get = told["paths"][f"{LISTED_CALL}{name}/{{event_id}}"]["get"]
        _describe_call(post, name, calls)
        _describe_result(get, result)
    told.setdefault("components", {})["schemas"] = schemas
    return json.dumps(told)


def _describe_call(post: dict[str, Any], name: str, calls: Calls) -> None:
    summary = post["summary"]
    post["summary"] = f"{summary.partition('. ')[0].removesuffix('.')}."
    post["description"] = f"{summary} Fetch the result from GET {LISTED_CALL}{name}/{{event_id}}."
    body = post["requestBody"]["content"]["application/json"]["schema"]
    body["additionalProperties"] = False
    for field, schema in body["properties"].items():
        schema.update(_BOUNDS[field])
    required = [field for field, needed in calls[name].parameters.items() if needed]
    if required:
        body["required"] = required
    post["responses"]["200"]["content"]["application/json"]["schema"]["required"] = ["event_id"]
    post["responses"]["default"] = _REFUSED


def _describe_result(get: dict[str, Any], result: type) -> None:
    array = {
        "type": "array",
        "prefixItems": [{"$ref": f"{_SCHEMAS}{result.__name__}"}],
        "minItems": 1,
        "maxItems": 1,
    }
    get["description"] = _EVENTS
    content = {"text/event-stream": {"schema": array}}
    get["responses"]["200"] = {"description": _EVENTS, "content": content}
    get["responses"]["default"] = _REFUSED

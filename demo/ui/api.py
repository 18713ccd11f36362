"""What programs call: the documented endpoints, over HTTP, gradio_client and MCP.

Knows which functions are public and under what names: these, their parameters and docs are a
contract, frozen in tests/app/contract.json. Must not know what the page looks like.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.components.api_component import Api
from gradio.events import api
from gradio.utils import get_function_description
from starlette.requests import Request

from demo.ui.rewriting import Rule

log = logging.getLogger(__name__)

# Whatever gives work to the engine shares its places, and with them the queue.
ENGINE_CALLS = "engine"


def publish(function: Callable[..., Any], *, uses_engine: bool = False) -> None:
    """Makes the function an endpoint of the current Blocks under its own name; it returns one
    JSON object, or yields some. To be called inside something that is not shown: parameters and
    result are components, too."""
    blocks = gr.context.Context.root_block
    assert blocks is not None
    endpoint = api(
        function,
        api_name=function.__name__,
        concurrency_id=ENGINE_CALLS if uses_engine else None,
    )
    # Gradio would call them "1st", "2nd" and so on.
    parameters = function.__code__.co_varnames[: function.__code__.co_argcount]
    names = dict(zip(endpoint["inputs"], parameters, strict=True))
    _, helps, _ = get_function_description(function)
    for number in (*endpoint["inputs"], *endpoint["outputs"]):
        component = blocks.blocks[number]
        assert isinstance(component, Api)
        name = component.label = names.get(number, "result")
        # Gradio 4's bundle, in old posts, stops at a kind it does not know.
        vars(component)["get_block_name"] = lambda: "json"
        component._api_info = _described(component._api_info, helps.get(name))


def limit_engine_calls(page: gr.Blocks, slots: int) -> None:
    """Has a launched page run at most `slots` calls of the engine at once.

    Gradio takes a limit when it is launched, before it is known which engine runs. The functions'
    own limit is for a queue that no call has joined yet, which Gradio makes from it.
    """
    try:
        for function in page.fns.values():
            if function.concurrency_id == ENGINE_CALLS:
                function.concurrency_limit = slots
        queue = page._queue.event_queue_per_concurrency_id.get(ENGINE_CALLS)
        if queue is not None:
            queue.concurrency_limit = slots
    except AttributeError:
        # Then calls wait for each other in the engine instead, until their deadline.
        log.warning("This Gradio keeps the limit of its queue elsewhere; it was not changed.")


def answer_mcp_in_json(page: gr.Blocks) -> None:
    """Has a launched page's tools answer in JSON, as its endpoints do, and not in Python's repr."""
    server = page.mcp_server_obj
    if server is None:
        return
    # Without it Gradio starts no such server.
    from mcp.types import TextContent  # noqa: PLC0415

    def as_json(data: list[Any], _: str) -> list[Any]:
        texts = (json.dumps(result, ensure_ascii=False) for result in data)
        return [TextContent(type="text", text=text) for text in texts]

    server.postprocess_output_data = as_json  # type: ignore[assignment]


def input_counts(page: gr.Blocks) -> Mapping[str | int, int]:
    """How many values every call takes, by its number and, where it has one, its name."""
    counts: dict[str | int, int] = {number: len(fn.inputs) for number, fn in page.fns.items()}
    return counts | {str(fn.api_name): len(fn.inputs) for fn in page.fns.values() if fn.api_name}


def openapi_rule() -> Rule:
    """Gradio's OpenAPI file without the upload, a door that this demo keeps closed."""

    def without_upload(text: str, _: Request) -> str:
        told = json.loads(text)
        told["paths"].pop("/gradio_api/upload", None)
        return json.dumps(told)

    return Rule(re.compile("/gradio_api/openapi.json"), without_upload)


def _described(schema: Mapping[str, Any], help_text: str | None) -> dict[str, Any]:
    """The JSON schema with what the docstring says; an object, whatever Gradio made of a
    generator's annotation."""
    if help_text is None:
        return {"type": "object"}
    return {**schema, "description": help_text}

"""The one endpoint, `/generate`: what the button, Enter, the API and MCP all call.

Knows requests, engines and results; must not know components, layout or HTML.
"""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import gradio as gr

from demo.generation.engine import (
    HEARTBEAT_SECONDS,
    EngineError,
)
from demo.generation.introduction import Introduction
from demo.generation.persona import Persona
from demo.generation.request import (
    FIELDS,
    MAX_PROMPT_CHARACTERS,
    GenerationRequest,
    InvalidRequest,
)
from demo.serving.service import Service
from demo.ui import copy
from demo.ui.result import Record, Result, failure, waiting

log = logging.getLogger(__name__)

Endpoint = Callable[..., Iterator[Record]]


def make_generate(service: Service, introduction: Introduction) -> Endpoint:
    """The endpoint's function over a service; its signature and docstring are the API's docs."""
    persona, defaults = introduction.persona, introduction.defaults

    # Annotations say what to send; what was sent, whatever it is, GenerationRequest checks.
    def generate(
        prompt: str = defaults.prompt,
        max_new_tokens: int = defaults.max_new_tokens,
        temperature: float = defaults.temperature,
        top_p: float = defaults.top_p,
        top_k: int = defaults.top_k,
        repetition_penalty: float = defaults.repetition_penalty,
        seed: int | None = None,
    ) -> Iterator[Record]:
        numbers = (max_new_tokens, temperature, top_p, top_k, repetition_penalty, _seed(seed))
        yield from _guarded(service, persona, (prompt, *numbers))

    generate.__doc__ = _documentation(persona)
    return generate


def _seed(value: Any) -> Any:
    """What the page's text box sends as the number it stands for; anything else as it is."""
    if not isinstance(value, str):
        return value
    digits = value.strip()
    return int(digits) if digits.isdecimal() and len(digits) <= 20 else digits or None


def _documentation(persona: Persona) -> str:
    """The endpoint's docstring, in the form that Gradio's API page and MCP read."""
    arguments = [
        f"prompt: The opening words, at most {MAX_PROMPT_CHARACTERS:,} characters; may be empty.",
        *(
            f"{field.name}: From {field.minimum:g} to {field.maximum:.10g}. {field.help}"
            for field in FIELDS.values()
        ),
    ]
    return "\n".join(
        (copy.api_description(persona), "", "Args:", *(f"    {line}" for line in arguments))
    )


def _guarded(service: Service, persona: Persona, values: tuple[Any, ...]) -> Iterator[Record]:
    """The records of one request; a failure is shown in the card and then raised.

    Raises:
        gr.Error: with a sentence fit for a visitor.
    """
    last: Record = {}
    try:
        for last in _records(service, persona, GenerationRequest(*values)):
            yield last
    except (InvalidRequest, EngineError) as error:
        message = str(error)
    except Exception as error:
        _log_without_texts(error)
        message = copy.INTERNAL_ERROR
    else:
        return
    yield failure(last, message, persona)
    raise gr.Error(message, print_exception=False)


def _records(service: Service, persona: Persona, request: GenerationRequest) -> Iterator[Record]:
    """The text as it grows; closing the iterator closes the engine's stream."""
    while (engine := service.wait(HEARTBEAT_SECONDS)) is None:
        yield waiting(request, persona)
    result = Result(request, engine.identity, persona)
    with closing(engine.stream(request)) as stream:
        for chunk in stream:
            result = result.followed_by(chunk)
            yield result.record()


def _log_without_texts(error: Exception) -> None:
    """Logs where it failed, but not the message: it might quote what a visitor typed."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("Generation failed: %s\n%s", type(error).__name__, frames)

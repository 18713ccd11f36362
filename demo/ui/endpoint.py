"""What writes: `/generate`, one text, and `/generate_many`, which the page calls too.

Knows requests, engines and results; must not know components, layout or HTML.
"""

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import gradio as gr

from demo.checkpoints.persona import Persona
from demo.generation.engine import HEARTBEAT_SECONDS, Chunk, Engine, EngineError, stream_many
from demo.generation.introduction import Introduction
from demo.generation.request import (
    COUNT,
    FIELDS,
    MAX_PROMPT_CHARACTERS,
    GenerationRequest,
    InvalidRequest,
)
from demo.server.service import Service
from demo.ui import copy
from demo.ui.result import Record, Result, failure, together, waiting

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
        yield from _one(service, persona, (prompt, *numbers))

    generate.__doc__ = _documentation(copy.generate_description(persona), _field_arguments())
    return generate


def make_generate_many(service: Service, introduction: Introduction) -> Endpoint:
    """The same for several texts at once, whose seeds follow each other."""
    persona, defaults = introduction.persona, introduction.defaults

    def generate_many(
        prompt: str = defaults.prompt,
        count: int = int(COUNT.maximum),
        max_new_tokens: int = defaults.max_new_tokens,
        temperature: float = defaults.temperature,
        top_p: float = defaults.top_p,
        top_k: int = defaults.top_k,
        repetition_penalty: float = defaults.repetition_penalty,
        seed: int | None = None,
    ) -> Iterator[Record]:
        numbers = (max_new_tokens, temperature, top_p, top_k, repetition_penalty, _seed(seed))
        yield from _many(service, persona, count, (prompt, *numbers))

    prompt, *others = _field_arguments()
    count = f"count: From {COUNT.minimum:g} to {COUNT.maximum:g}. {COUNT.help}"
    description = copy.generate_many_description(persona)
    generate_many.__doc__ = _documentation(description, [prompt, count, *others])
    return generate_many


def _seed(value: Any) -> Any:
    """What the page's text box sends as the number it stands for; anything else as it is."""
    if not isinstance(value, str):
        return value
    digits = value.strip()
    return int(digits) if digits.isdecimal() and len(digits) <= 20 else digits or None


def _field_arguments() -> list[str]:
    return [
        f"prompt: The opening words, at most {MAX_PROMPT_CHARACTERS:,} characters; may be empty.",
        *(
            f"{field.name}: From {field.minimum:g} to {field.maximum:.10g}. {field.help}"
            for field in FIELDS.values()
        ),
    ]


def _documentation(description: str, arguments: Sequence[str]) -> str:
    """An endpoint's docstring, in the form that Gradio's API page and MCP read."""
    return "\n".join((description, "", "Args:", *(f"    {line}" for line in arguments)))


def _one(service: Service, persona: Persona, values: tuple[Any, ...]) -> Iterator[Record]:
    """The records of one text; a failure is shown in the last one and then raised.

    Raises:
        gr.Error: with a sentence fit for a visitor.
    """
    last: Record = {}
    try:
        request = GenerationRequest(*values)
        with service.writing():
            for engine in _awaited(service):
                if engine is None:
                    yield waiting(request, persona)
                    continue
                result = Result(request, engine.identity, persona)
                with closing(engine.stream(request)) as stream:
                    for chunk in stream:
                        result = _followed(result, chunk, service)
                        last = result.record()
                        yield last
    except Exception as error:
        message = sentence(error)
    else:
        return
    yield failure(last, message, persona)
    raise gr.Error(message, print_exception=False)


def _many(
    service: Service, persona: Persona, count: Any, values: tuple[Any, ...]
) -> Iterator[Record]:
    """The records of several texts. One that fails says so in its own; only if none is left, the
    call fails.

    Raises:
        gr.Error: with a sentence fit for a visitor.
    """
    records: list[Record] = [{}]
    try:
        first = GenerationRequest(*values)
        requests = [first.another(i) for i in range(int(COUNT.validate(count)))]
        records = [waiting(request, persona) for request in requests]
        with service.writing():
            for engine in _awaited(service):
                if engine is None:
                    yield together(records, persona)
                else:
                    yield from _written(service, engine, persona, requests, records)
        messages = [record["error"] for record in records if "error" in record]
        if len(messages) < len(records):
            return
        message = messages[0]
    except Exception as error:
        message = sentence(error)
        yield together([failure(record, message, persona) for record in records], persona)
    raise gr.Error(message, print_exception=False)


def _awaited(service: Service) -> Iterator[Engine | None]:
    """None as long as there is no engine, and then, once, the engine."""
    while (engine := service.wait(HEARTBEAT_SECONDS)) is None:
        yield None
    yield engine


def _written(
    service: Service,
    engine: Engine,
    persona: Persona,
    requests: Sequence[GenerationRequest],
    records: list[Record],
) -> Iterator[Record]:
    """All texts at every step of any; `records` are replaced as they grow."""
    results = [Result(request, engine.identity, persona) for request in requests]
    with closing(stream_many(engine, requests)) as events:
        for index, happened in events:
            if isinstance(happened, Exception):
                records[index] = failure(records[index], sentence(happened), persona)
            else:
                results[index] = _followed(results[index], happened, service)
                records[index] = results[index].record()
            yield together(records, persona)


def _followed(result: Result, chunk: Chunk, service: Service) -> Result:
    longer = result.followed_by(chunk)
    return longer.judged(service.judges_for_visitors()) if longer.ending else longer


def sentence(error: Exception) -> str:
    """What a visitor is told of it; what only we should know of it is logged."""
    if isinstance(error, InvalidRequest | EngineError):
        return str(error)
    _log_without_texts(error)
    return copy.INTERNAL_ERROR


def _log_without_texts(error: Exception) -> None:
    """Logs where it failed, but not the message: it might quote what a visitor typed."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("A call failed: %s\n%s", type(error).__name__, frames)

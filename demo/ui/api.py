"""What programs call: the documented endpoints, over HTTP, gradio_client and MCP.

Their names, parameters and docs are a contract: tests/app/contract.json. Each function returns or
yields a result of results.py as a dict, because Gradio sends what changed in dicts and lists.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

import gradio as gr
from gradio.components.api_component import Api
from gradio.events import api
from gradio.utils import get_function_description, get_function_params

from demo.generation.engine import HEARTBEAT_SECONDS, Chunk, Engine, EngineError, stream_many
from demo.generation.profile import Profile
from demo.generation.request import (
    COUNT,
    FIELDS,
    MAX_PROMPT_CHARACTERS,
    GenerationRequest,
    InvalidRequest,
)
from demo.log import without_message
from demo.server.admission import STOPPED, Call
from demo.server.calls import Calls, Signature
from demo.server.metrics import Watch
from demo.server.service import Service
from demo.ui.results import Draft, TextsResult

log = logging.getLogger(__name__)

# A result as JSON.
Record = dict[str, Any]
Endpoint = Callable[..., Iterator[Record]]
# Gradio's concurrency group for all calls that use the engine.
ENGINE_CALLS = "engine"
# Of every field, as numbers.
LIMITS = {field.name: [field.minimum, field.maximum] for field in (*FIELDS.values(), COUNT)}
# A waiting visitor is sent an update at least this often: a silent stream looks like a lost one.
QUEUE_UPDATE_SECONDS = 2.0
# What the browser says of a call that ended without a word of why.
NO_ANSWER = "Nothing came back. Your words are still here; try again in a moment."
DESCRIPTION = (
    "Continues an opening in the style of {persona.tweets}: {persona.badge}.\n\n"
    "Each update is one object with the whole text so far. Show its `shareable`, not its bare "
    "`text`, to people: that is the text with its label and where it came from. "
    "`finish_reason` is null until the text is finished, `repeats` lists the passages that a "
    "real tweet has too."
)
# Added to it, unless the texts are written on another server.
SAME_TEXT = " The same seed and settings give the same text."
DESCRIPTION_OF_MANY = (
    "Continues an opening several times at once, in the style of {persona.tweets}: "
    "{persona.badge}.\n\n"
    "Each update is one object whose `texts` are objects like those of `/generate`, in order "
    "of their seeds, which follow each other; `finished` is true once all of them are. One "
    "that failed has an `error`."
)


def publish(function: Callable[..., Any], *, uses_engine: bool = False) -> None:
    """Makes the function an endpoint of the current Blocks under its own name. Call it inside a
    component that is hidden: parameters and result become components, too."""
    blocks = gr.context.Context.root_block
    assert blocks is not None
    endpoint = api(
        function,
        api_name=function.__name__,
        concurrency_id=ENGINE_CALLS if uses_engine else None,
        concurrency_limit=None if uses_engine else "default",
    )
    # Gradio would call them "1st", "2nd" and so on.
    parameters = [name for name, *_ in get_function_params(function)]
    names = dict(zip(endpoint["inputs"], parameters, strict=True))
    _, helps, _ = get_function_description(function)
    for number in (*endpoint["inputs"], *endpoint["outputs"]):
        component = blocks.blocks[number]
        assert isinstance(component, Api)
        name = component.label = names.get(number, "result")
        # Old posts embed Gradio 4's bundle, which stops at a component it does not know.
        vars(component)["get_block_name"] = lambda: "json"
        # A result is an object, whatever Gradio makes of a generator's annotation.
        described = {**component._api_info, "description": helps.get(name, "")}
        component._api_info = described if name in helps else {"type": "object"}


async def end_stream(page: gr.Blocks, name: str) -> None:
    """Ends a stream that nobody reads, and what still writes to it; its messages are freed.

    Gradio itself keeps the messages until 2,000 newer streams have come, and then those of others
    go with them.
    """
    try:
        queue = page._queue
        # First those that write: they would miss what they write to.
        await queue.clean_events(session_hash=name)
        queue.pending_messages_per_session.pop(name, None)
        queue.pending_event_ids_session.pop(name, None)
    except (AttributeError, TypeError):
        log.warning("This Gradio keeps its streams elsewhere; an unread one was not ended.")


def calls_of(page: gr.Blocks) -> Calls:
    """The signature of every call of the page, also of those that are not documented."""
    calls: dict[str | int, Signature] = {}
    for number, event in page.fns.items():
        # An event without a function runs in the browser alone.
        if event.fn is None:
            continue
        names = {name: not default for name, default, *_ in get_function_params(event.fn)}
        calls[number] = Signature(names, event.concurrency_id == ENGINE_CALLS)
        if event.api_name:
            calls[str(event.api_name)] = calls[number]
    return calls


def make_generate(service: Service, profile: Profile) -> Endpoint:
    """`/generate`; the function's signature and docstring are the API's docs."""
    defaults, generate_many = profile.defaults, make_generate_many(service, profile)

    def generate(
        prompt: str = defaults.prompt,
        max_new_tokens: int = defaults.max_new_tokens,
        temperature: float = defaults.temperature,
        top_p: float = defaults.top_p,
        top_k: int = defaults.top_k,
        repetition_penalty: float = defaults.repetition_penalty,
        seed: int | None = None,
        request: gr.Request | None = None,
    ) -> Iterator[Record]:
        settings = (max_new_tokens, temperature, top_p, top_k, repetition_penalty, seed)
        for update in generate_many(prompt, 1, *settings, request):
            yield update["texts"][0]

    description = DESCRIPTION.format(persona=profile.persona)
    description += SAME_TEXT if profile.repeats_seeds else ""
    generate.__doc__ = document(description, _field_arguments(profile))
    return generate


def make_generate_many(service: Service, profile: Profile) -> Endpoint:
    """`/generate_many`, which the page calls too: several texts, whose seeds follow each other."""
    persona, defaults = profile.persona, profile.defaults

    # Annotations say what to send; what was sent, whatever it is, GenerationRequest checks.
    def generate_many(
        prompt: str = defaults.prompt,
        count: int = int(COUNT.maximum),
        max_new_tokens: int = defaults.max_new_tokens,
        temperature: float = defaults.temperature,
        top_p: float = defaults.top_p,
        top_k: int = defaults.top_k,
        repetition_penalty: float = defaults.repetition_penalty,
        seed: int | None = None,
        request: gr.Request | None = None,
    ) -> Iterator[Record]:
        settings = (max_new_tokens, temperature, top_p, top_k, repetition_penalty, _seed(seed))
        for drafts in _write(service, profile, count, request, prompt, *settings):
            texts = [draft.result() for draft in drafts]
            finished = all(text.finish_reason is not None for text in texts)
            yield asdict(TextsResult(texts, persona.label, finished))

    prompt, *others = _field_arguments(profile)
    count = f"count: From {COUNT.minimum:g} to {COUNT.maximum:g}. {COUNT.help}"
    description = DESCRIPTION_OF_MANY.format(persona=persona)
    generate_many.__doc__ = document(description, [prompt, count, *others])
    return generate_many


def document(description: str, arguments: Sequence[str]) -> str:
    """An endpoint's docstring, in the form that Gradio's API page and MCP read."""
    return "\n".join((description, "", "Args:", *(f"    {line}" for line in arguments)))


def _field_arguments(profile: Profile) -> list[str]:
    return [
        f"prompt: The opening words, at most {MAX_PROMPT_CHARACTERS:,} characters; may be empty.",
        *(
            f"{one.name}: From {one.minimum:g} to {one.maximum:.10g}. {profile.help_of(one)}"
            for one in FIELDS.values()
        ),
    ]


def _write(
    service: Service, profile: Profile, count: Any, request: gr.Request | None, *fields: Any
) -> Iterator[Sequence[Draft]]:
    """All texts at every step of any of them, for the unchecked fields of a `GenerationRequest`.

    One that fails says so in its own draft; only if none is left, the call fails. A call that
    nobody reads any more ends at its next step.

    Raises:
        gr.Error: with a sentence fit for a visitor, after the drafts that say it.
    """
    call = service.calls.find(request.headers if request else None) or Call()
    drafts, watch = [Draft(profile.persona, mask=service.mask)], Watch(service.counts)
    try:
        first = GenerationRequest(*fields)
        requests = [first.another(i) for i in range(int(COUNT.validate(count)))]
        drafts = [replace(drafts[0], request=request) for request in requests]
        yield from _steps(service, call, requests, drafts, watch)
    except _NobodyReads:
        return
    except Exception as error:
        message = sentence(error)
        watch.fail(len(drafts), error)
        drafts = [replace(draft, error=message) for draft in drafts]
        yield drafts
    finally:
        watch.close(len(drafts), call.is_abandoned)
        service.calls.end(call)
    errors = [draft.error for draft in drafts if draft.error]
    if len(errors) == len(drafts):
        # The page says it in its card, once.
        raise gr.Error(errors[0], visible=False, print_exception=False)


def _steps(
    service: Service,
    call: Call,
    requests: Sequence[GenerationRequest],
    drafts: list[Draft],
    watch: Watch,
) -> Generator[list[Draft], None, None]:
    """Waits for the engine, then for the call's turn, then writes; keeps `drafts` up to date."""
    while (engine := service.wait(HEARTBEAT_SECONDS)) is None:
        yield drafts
        _require_use(service, call)
    drafts[:] = [replace(draft, identity=engine.identity) for draft in drafts]
    with service.queue.place(call.visitor, len(requests)) as place:
        told = float("-inf")
        while ahead := service.queue.wait(place, HEARTBEAT_SECONDS):
            # Each update that is sent to a waiting visitor slows those who write.
            if ahead != drafts[0].ahead or time.monotonic() - told > QUEUE_UPDATE_SECONDS:
                told = time.monotonic()
                drafts[:] = [replace(draft, ahead=ahead) for draft in drafts]
                yield drafts
            _require_use(service, call)
        _require_reader(call)
        drafts[:] = [replace(draft, ahead=0) for draft in drafts]
        with closing(_stream(engine, requests)) as events:
            for index, event in events:
                _require_reader(call)
                watch.see(index, event)
                if isinstance(event, Exception):
                    drafts[index] = replace(drafts[index], error=sentence(event))
                else:
                    drafts[index] = drafts[index].extend(event, service.judges_for_visitors())
                yield drafts


class _NobodyReads(Exception):
    """The call was abandoned."""


def _require_reader(call: Call) -> None:
    if call.is_abandoned:
        raise _NobodyReads


def _require_use(service: Service, call: Call) -> None:
    """No text begins that nobody reads, nor while the demo is being stopped."""
    _require_reader(call)
    if service.calls.is_stopping:
        raise EngineError(STOPPED)


def _stream(
    engine: Engine, requests: Sequence[GenerationRequest]
) -> Generator[tuple[int, Chunk | Exception], None, None]:
    """Each text's chunks or error, with its index. A single text needs no thread of its own."""
    if len(requests) > 1:
        yield from stream_many(engine, requests)
        return
    try:
        with closing(engine.stream(requests[0])) as stream:
            yield from ((0, chunk) for chunk in stream)
    except Exception as error:
        yield 0, error


def _seed(value: Any) -> Any:
    """What the page's text box sends as the number it stands for; anything else as it is."""
    if not isinstance(value, str):
        return value
    digits = value.strip()
    return int(digits) if digits.isdecimal() and len(digits) <= 20 else digits or None


def sentence(error: Exception) -> str:
    """What a visitor is told of an error. One that is not meant for visitors is logged, without
    its message: that might quote what somebody typed."""
    if isinstance(error, InvalidRequest | EngineError):
        return str(error)
    log.error("A call failed:\n%s", without_message(error))
    return "Something went wrong while writing. Try again in a moment."

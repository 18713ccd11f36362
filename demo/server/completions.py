"""An engine of ours as a completions server: `/v1/completions` and `/v1/models`, as OpenAI and vLLM
have them, for pages that run elsewhere.

Parameters that the engine cannot honour are refused, never ignored.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from demo.generation.engine import (
    BUSY,
    OUT_OF_RESOURCES,
    WAITING,
    Chunk,
    EngineError,
    FinishReason,
)
from demo.generation.remote.dialects import DEADLINE, OURS
from demo.generation.request import GenerationRequest, InvalidRequest
from demo.generation.tokens import EncodedPrompt, Tokens
from demo.server.metrics import Watch
from demo.server.routes import has_secret
from demo.server.service import Service

RETRY_SECONDS = 2
# Fields of other servers that may be sent if they say nothing.
NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "stop": ([],),
    "suffix": ("",),
    "logit_bias": ({},),
    "min_p": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    # A text of this engine has one token at least.
    "min_tokens": (1, 0),
}
FINISH_REASONS: Mapping[FinishReason, str] = {
    "end_of_tweet": "stop",
    "length": "length",
    "deadline": "length",
}
KINDS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error"}


class Completion(BaseModel):
    """What a client may ask for; a prompt of ids is read as it is, one of text begins a tweet."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    prompt: str | list[int]
    model: str | None = None
    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop_token_ids: list[int] = []
    bad_words: list[str] = []
    stream: bool = False
    stream_options: dict[str, bool] = {}
    return_token_ids: bool = False
    user: str = ""

    @classmethod
    def read(cls, body: object) -> Self:
        """Checks a parsed body. Raises InvalidRequest, whose message names the field."""
        if not isinstance(body, dict):
            raise InvalidRequest("The body must be a JSON object.")
        # A null is as good as nothing to OpenAI's clients.
        given = {name: value for name, value in body.items() if value is not None}
        for name, neutral in NEUTRAL.items():
            if name in given and given.pop(name) not in neutral:
                raise InvalidRequest(f"{name} must be {json.dumps(neutral[0])} on this server.")
        prompt = given.get("prompt")
        is_ids = isinstance(prompt, list) and all(type(one) is int for one in prompt)
        if not isinstance(prompt, str) and not is_ids:
            raise InvalidRequest("prompt must be one text or one list of token ids.")
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part)[:40] for part in first["loc"])
            raise InvalidRequest(f"{place}: {first['msg']}.") from error

    def request(self) -> GenerationRequest:
        """Its settings, within the demo's limits. Raises InvalidRequest."""
        text = self.prompt if isinstance(self.prompt, str) else ""
        try:
            return GenerationRequest(
                text,
                self.max_tokens,
                self.temperature,
                self.top_p,
                0 if self.top_k == -1 else self.top_k,
                self.repetition_penalty,
                self.seed,
            )
        except InvalidRequest as error:
            raise InvalidRequest(str(error).replace("max_new_tokens", "max_tokens")) from error

    def encoded(self, tokens: Tokens, vocabulary: int) -> EncodedPrompt:
        """The prompt's ids, and how many may follow. Raises InvalidRequest if they do not fit."""
        ids = self.prompt
        if isinstance(ids, str):
            ids = [tokens.eos_token_id, *tokens.encode(ids)]
        if not ids or not all(0 <= one < vocabulary for one in ids):
            raise InvalidRequest(f"prompt must hold token ids below {vocabulary}.")
        if set(self.stop_token_ids) - {tokens.eos_token_id}:
            raise InvalidRequest(f"stop_token_ids may hold {tokens.eos_token_id} only.")
        never = tokens.forbidden.words if tokens.forbidden else ()
        if set(self.bad_words) - set(never):
            raise InvalidRequest(f"bad_words may hold {json.dumps(never)} only.")
        # The last new token takes no position.
        most = tokens.context_tokens + 1
        if len(ids) + self.max_tokens > most:
            raise InvalidRequest(
                f"prompt and max_tokens come to {len(ids) + self.max_tokens} tokens; this model "
                f"takes at most {most}."
            )
        return EncodedPrompt(ids, self.max_tokens)


def completions_routes(service: Service, key: str, queue_size: int) -> list[Route]:
    """The two routes over a service whose engine is OpenVINO's, for those who send the key, if
    there is one. At most `queue_size` texts wait or are written; one more is answered with 503."""
    begun_at = int(time.time())
    under_way = 0

    def engine(request: Request) -> Any:
        if key and not has_secret(request, key):
            sentence = "The key is missing or wrong."
            raise HTTPException(401, sentence, {"www-authenticate": "Bearer"})
        found = service.engine()
        if found is None or not found.health():
            raise _unavailable("The model is loading, or being restarted.")
        return found

    async def models(request: Request) -> Response:
        found = engine(request)
        model = {
            "id": found.identity.checkpoint,
            "object": "model",
            "created": begun_at,
            "owned_by": OURS,
            "max_model_len": found.context_tokens + 1,
            "revision": found.identity.revision,
            "engine": found.identity.engine,
            "precision": found.identity.precision,
        }
        return JSONResponse({"object": "list", "data": [model]})

    async def completions(request: Request) -> Response:
        nonlocal under_way
        found = engine(request)
        try:
            asked = Completion.read(request.state.body)
            settings, prompt = asked.request(), asked.encoded(found.tokens, found.vocabulary)
        except InvalidRequest as error:
            raise HTTPException(400, str(error)) from error
        name = found.identity.checkpoint
        if asked.model not in (None, name):
            raise HTTPException(404, f"model must be {name}: this server has no other.")
        if under_way >= queue_size:
            raise _unavailable(BUSY)

        async def pieces() -> AsyncGenerator[Chunk, None]:
            nonlocal under_way
            under_way += 1
            watch = Watch(service.counts)
            try:
                stream = found.stream_prompt(prompt, settings)
                async with aclosing(_in_a_thread(stream)) as chunks:
                    async for chunk in chunks:
                        watch.see(0, chunk)
                        yield chunk
            except Exception as error:
                watch.fail(1, error)
                raise
            finally:
                under_way -= 1
                watch.close(1, is_abandoned=True)

        answer = _Answer(asked, name, len(prompt.ids))
        try:
            text = await _begun(pieces())
            if not asked.stream:
                return await answer.whole(request, text)
        except InvalidRequest as error:
            raise HTTPException(400, str(error)) from error
        except EngineError as error:
            raise _unavailable(str(error)) from error
        return StreamingResponse(
            answer.events(text),
            media_type="text/event-stream",
            headers={"cache-control": "no-store"},
        )

    return [
        Route("/v1/models", models),
        Route("/v1/completions", completions, methods=["POST"]),
    ]


class _Answer:
    """One text in the words of OpenAI and vLLM."""

    def __init__(self, asked: Completion, model: str, prompt_tokens: int) -> None:
        self._asked, self._prompt_tokens = asked, prompt_tokens
        self._frame = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }

    async def events(self, pieces: AsyncGenerator[Chunk, None]) -> AsyncIterator[bytes]:
        """The events of a stream. Comments tell a text that waits from a machine that is gone."""
        async with aclosing(pieces):
            try:
                new_tokens = 0
                async for chunk in pieces:
                    if chunk == WAITING:
                        yield b": waiting\n\n"
                        continue
                    new_tokens += len(chunk.ids)
                    yield _event({**self._frame, "choices": [self._choice(chunk)]})
                if self._asked.stream_options.get("include_usage"):
                    yield _event({**self._frame, "choices": [], "usage": self._usage(new_tokens)})
                yield b"data: [DONE]\n\n"
            except EngineError as error:
                yield _event(_problem(503, str(error)))

    async def whole(self, request: Request, pieces: AsyncGenerator[Chunk, None]) -> Response:
        """The whole text, unless its reader leaves before."""
        text, ending = "", None
        ids: tuple[int, ...] = ()
        async with aclosing(pieces):
            async for chunk in pieces:
                text, ids, ending = text + chunk.text, ids + chunk.ids, chunk.ending
                if await request.is_disconnected():
                    return Response(status_code=499)
        choice = self._choice(Chunk(text, ending, ids))
        return JSONResponse({**self._frame, "choices": [choice], "usage": self._usage(len(ids))})

    def _choice(self, chunk: Chunk) -> dict[str, Any]:
        reason = chunk.ending and chunk.ending.reason
        return {
            "index": 0,
            "text": chunk.text,
            "logprobs": None,
            "finish_reason": FINISH_REASONS[reason] if reason else None,
            "stop_reason": DEADLINE if reason == DEADLINE else None,
            **({"token_ids": chunk.ids} if self._asked.return_token_ids else {}),
        }

    def _usage(self, new_tokens: int) -> dict[str, int]:
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": new_tokens,
            "total_tokens": self._prompt_tokens + new_tokens,
        }


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def _problem(status: int, sentence: str) -> dict[str, Any]:
    kind = KINDS.get(status, "server_error")
    return {"error": {"message": sentence, "type": kind, "param": None, "code": status}}


def _unavailable(sentence: str) -> HTTPException:
    return HTTPException(503, sentence, {"retry-after": str(RETRY_SECONDS)})


async def problem_response(_: Request, error: Exception) -> Response:
    """An error in the shape that OpenAI's clients read."""
    assert isinstance(error, HTTPException)
    problem = _problem(error.status_code, error.detail)
    return JSONResponse(problem, error.status_code, error.headers)


async def _begun(stream: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Chunk, None]:
    """The same stream once its first chunk is there: an error before it has its own status."""
    first = await anext(stream)

    async def whole() -> AsyncGenerator[Chunk, None]:
        async with aclosing(stream):
            yield first
            async for chunk in stream:
                yield chunk

    return whole()


async def _in_a_thread(stream: Generator[Chunk, None, None]) -> AsyncGenerator[Chunk, None]:
    """A blocking stream's chunks, read by a thread of its own, which closes it in the end."""
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, "completion")
    try:
        thread.submit(int)
    except RuntimeError as error:
        raise EngineError(OUT_OF_RESOURCES) from error
    try:
        while (chunk := await loop.run_in_executor(thread, next, stream, None)) is not None:
            yield chunk
    finally:
        # If nobody reads on, after its next heartbeat.
        thread.submit(stream.close)
        thread.shutdown(wait=False)

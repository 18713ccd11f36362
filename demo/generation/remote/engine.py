"""The engine elsewhere: asks a completions server for texts, one request for each."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from demo.checkpoints.allow_list import CONTEXT
from demo.checkpoints.files import CONFIG, TOKENIZER_CONFIG, CheckpointError, read_object
from demo.checkpoints.persona import persona_of
from demo.checkpoints.resolve import Checkpoint
from demo.generation.endings import end_within
from demo.generation.engine import (
    BUSY,
    FAILED,
    SHUTTING_DOWN,
    WAITING,
    Chunk,
    Engine,
    EngineError,
    EngineIdentity,
    UnusableServer,
    coalesced,
)
from demo.generation.remote.connection import Connection, ServerAway, ServerError
from demo.generation.remote.dialects import DIALECTS, OWNERS, UNKNOWN_OWNER, StreamEvent
from demo.generation.request import MIN_ROOM_TOKENS, GenerationRequest
from demo.generation.tokens import Progress, Tokens, read_tokenizer, readable
from demo.settings import Settings

# How often the server is asked whether it is there.
ASK_SECONDS = 2.0
# It counts as away once it failed so often in a row: of several behind one address, the others may
# still write.
FAILURES = 2
# What is written once, at the start, to see what the server's token ids mean.
TRIAL = GenerationRequest("Today I will be", max_new_tokens=16, top_p=1.0, seed=0)
TRIAL_SECONDS = 120.0

log = logging.getLogger(__name__)


class RemoteEngine(Engine):
    """An `Engine` over a server that takes and gives token ids. The weights are the server's, and
    what a seed promises: neither can be verified from here, as the identity says.
    `deadline_seconds` bounds a text, every try included."""

    def __init__(
        self, checkpoint: Checkpoint, settings: Settings, say: Callable[[str], None]
    ) -> None:
        """Waits for the server, however long that takes, and has it write a few tokens. Raises
        UnusableServer if it can never be used, such as one with another vocabulary; CheckpointError
        if the checkpoint's tokenizer cannot be read."""
        self._tokens, self._vocabulary = _read_checkpoint(checkpoint.folder)
        self._longest = persona_of(checkpoint.folder).max_characters
        self.slots = settings.slots
        self._deadline_seconds = settings.deadline_seconds
        self._connection = Connection(settings.engine_url, settings.engine_key)
        self._is_up = True
        try:
            label = self._meet(settings, checkpoint.name, say)
        except ServerError as error:
            self.close()
            raise UnusableServer(f"The server that ENGINE_URL names {error.reason}.") from error
        self.context_tokens = self._tokens.context_tokens
        self.identity = EngineIdentity(
            checkpoint=_shown(self._served.model),
            revision="unverified",
            engine=f"remote {label}",
            precision="as served",
        )
        self._connection.start(self._watch)

    def stream(self, request: GenerationRequest) -> Generator[Chunk, None, None]:
        limits = self._longest, self._deadline_seconds
        yield from end_within(*limits, request, self._write, self.count_tokens)

    def _write(self, request: GenerationRequest, seconds: float) -> Generator[Chunk, None, None]:
        run = Progress(self._tokens, self._tokens.encode_prompt(request), seconds)
        try:
            yield from coalesced(self._read(run, request))
        except ServerError as error:
            log.warning("A text failed: the engine's server %s.", error.reason)
            raise

    def count_tokens(self, text: str) -> int:
        return len(self._tokens.encode(text))

    def health(self) -> bool:
        """Whether the server answered when it was last asked, or has written since; it is asked all
        the time."""
        return self._is_up

    def close(self) -> None:
        """Ends the texts under way; their readers are told."""
        self._is_up = False
        self._connection.close()

    def _read(self, run: Progress, request: GenerationRequest) -> Generator[Chunk, None, None]:
        for heard in self._hear(run, request):
            piece = run.add(heard.ids)
            if heard.reason:
                yield Chunk(piece, run.end(heard.reason))
                return
            yield Chunk(piece) if piece else WAITING

    def _hear(
        self, run: Progress, request: GenerationRequest
    ) -> Generator[StreamEvent, None, None]:
        """What is heard of a text, at least every HEARTBEAT_SECONDS. Raises EngineError."""
        dialect, trouble = self._dialect, ServerAway(BUSY, "gave it no turn")
        body = dialect.body(self._served.model, run, request)
        tell = run.events.put
        asked = self._connection.start(lambda: self._connection.write(dialect, body, tell))
        asked.add_done_callback(run.events.put)
        try:
            while True:
                event = run.next_event() or StreamEvent()
                if isinstance(event, Future):
                    raise _failure(event)
                if isinstance(event, ServerAway):
                    trouble, event = event, StreamEvent()
                self._require_tokens(run, event)
                if not event.reason and not run.seconds_left():
                    if not (run.new or event.ids):
                        raise trouble
                    event = StreamEvent(event.ids, event.text, "deadline")
                yield event
        finally:
            asked.cancel()

    def _require_tokens(self, run: Progress, heard: StreamEvent) -> None:
        # What was held back of a character may come at the end.
        if heard.text and not (heard.ids or run.new):
            raise ServerError(FAILED, "sends text without its token ids")
        if any(type(one) is not int or not 0 <= one < self._vocabulary for one in heard.ids):
            raise ServerError(FAILED, "sends token ids beyond the checkpoint's vocabulary")
        if len(run.new) + len(heard.ids) > run.prompt.limit:
            raise ServerError(FAILED, "sends more tokens than were asked for")

    def _meet(self, settings: Settings, name: str, say: Callable[[str], None]) -> str:
        """Waits until the server has written a trial text; returns its name for the page. Raises
        ServerError."""
        is_told = False
        while True:
            try:
                self._served = self._connection.start(
                    lambda: self._connection.look(settings.engine_model)
                ).result()
                kind, label = OWNERS.get(self._served.owner, UNKNOWN_OWNER)
                kind = kind if settings.engine_kind == "auto" else settings.engine_kind
                self._dialect = DIALECTS[kind]
                self._bound_context()
                self._try(name)
                return label
            except ServerAway as error:
                if not is_told:
                    say(f"Waiting for the server that ENGINE_URL names: it {error.reason}.")
                is_told = True
                time.sleep(ASK_SECONDS)

    def _bound_context(self) -> None:
        """A server counts the opening token and the last new one; our engines count one of them."""
        said = self._served.context_tokens
        if said is not None:
            self._tokens.context_tokens = min(self._tokens.context_tokens, said - 1)
        if self._tokens.context_tokens <= 2 * MIN_ROOM_TOKENS:
            raise ServerError(FAILED, f"takes at most {said} tokens, which is too few")

    def _try(self, name: str) -> None:
        """Compares the text of a few tokens with what the checkpoint's tokenizer makes of them."""
        run = Progress(self._tokens, self._tokens.encode_prompt(TRIAL), TRIAL_SECONDS)
        ours = theirs = ""
        try:
            for heard in self._hear(run, TRIAL):
                ours += run.add(heard.ids)
                theirs += heard.text
                if heard.reason:
                    break
        except ServerAway:
            raise
        except ServerError as error:
            reason = f"was asked for a trial text from token ids, and it {error.reason}"
            raise ServerError(str(error), reason) from error
        if _bare(ours) != _bare(theirs):
            raise ServerError(FAILED, f"has another vocabulary than the checkpoint {name}")

    async def _watch(self) -> None:
        failures = 0
        while True:
            asked_at = time.monotonic()
            await asyncio.sleep(ASK_SECONDS)
            reason = ""
            try:
                await self._connection.look(self._served.model)
            except ServerError as error:
                # A busy server may let the question wait behind the texts that it writes.
                reason = error.reason if self._connection.token_at < asked_at else ""
            if failures >= FAILURES and not reason:
                log.warning("The engine's server is back.")
            failures = failures + 1 if reason else 0
            if failures == FAILURES:
                log.warning("The engine's server is away: it %s.", reason)
            self._is_up = failures < FAILURES


def _failure(asked: "Future[Any]") -> EngineError:
    if asked.cancelled():
        return EngineError(SHUTTING_DOWN)
    error = asked.exception()
    if isinstance(error, ServerError):
        return error
    return ServerError(FAILED, f"was not understood ({type(error).__name__})")


def _read_checkpoint(folder: Path) -> tuple[Tokens, int]:
    """A checkpoint's tokenizer, and how many tokens its model knows."""
    config = read_object(folder, CONFIG)
    tokenizer = read_tokenizer(folder)
    eos = read_object(folder, TOKENIZER_CONFIG).get("eos_token")
    eos_id = tokenizer.token_to_id(str(eos.get("content") if isinstance(eos, dict) else eos))
    context = next((config[key] for key in CONTEXT if type(config.get(key)) is int), 0)
    vocabulary = config.get("vocab_size")
    if eos_id is None or type(vocabulary) is not int or not context:
        raise CheckpointError(
            f"The checkpoint {folder.name} does not say its end-of-text token, its context and the "
            "size of its vocabulary."
        )
    return Tokens(tokenizer, eos_id, context), vocabulary


def _shown(model: str) -> str:
    """A model's name as visitors may see it: a server calls it whatever it likes, and by default
    after where its file lies on the server's disk."""
    if re.match(r"[/~.]|\w:|.*\\", model):
        model = re.split(r"[/\\]", model)[-1]
    return re.sub(r"[^\w./:-]", "_", model)[-80:]


def _bare(text: str) -> str:
    """Without what servers treat differently: spaces, and what cannot be read."""
    return "".join(readable(text).split())

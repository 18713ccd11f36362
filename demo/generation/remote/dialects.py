"""How each kind of completions server is asked, and what its answers say.

Prompts are token ids: in a prompt of text, a visitor's `<|endoftext|>` would be a control token.
Servers that take only text (TGI, OpenVINO Model Server) are therefore of no use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from demo.generation.engine import FinishReason
from demo.generation.request import GenerationRequest
from demo.generation.tokens import ForbiddenPair, Progress
from demo.settings import ServerKind

# What our own server (demo.server.completions) calls itself; it speaks as vLLM does.
OURS = "trump-or-computer-dump"
# Our own server's `stop_reason` of a text that took too long. No standard reason says that.
DEADLINE = "deadline"


@dataclass(frozen=True)
class StreamEvent:
    """What one event of a stream says: new token ids, their text, and why the text is over."""

    ids: Sequence[int] = ()
    text: str = ""
    reason: FinishReason | None = None


class Dialect:
    """The completions API with vLLM's extensions, which other servers imitate: they send token ids
    when asked to."""

    top_k_off = 0

    def url(self, base: str) -> str:
        return f"{base}/completions"

    def body(self, model: str, text: Progress, request: GenerationRequest) -> dict[str, Any]:
        """What is sent for a text."""
        forbidden = text.tokens.forbidden
        return {
            "model": model,
            "prompt": text.prompt.ids,
            "max_tokens": text.prompt.limit,
            "min_tokens": 1,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k or self.top_k_off,
            # A server may take its defaults from a checkpoint's generation_config.json.
            "min_p": 0.0,
            "repetition_penalty": request.repetition_penalty,
            "seed": request.seed,
            "stop_token_ids": [text.tokens.eos_token_id],
            "stream": True,
            "return_token_ids": True,
            **(self.rule(forbidden) if forbidden else {}),
        }

    def rule(self, forbidden: ForbiddenPair) -> dict[str, Any]:
        """How it is told what must not be written."""
        return {"bad_words": forbidden.words}

    def read(self, event: Any) -> StreamEvent:
        """What an event says. Raises LookupError, TypeError or ValueError if it says nothing."""
        # The last event may hold the usage alone.
        for choice in event["choices"]:
            reason = choice.get("finish_reason")
            if reason is not None:
                is_late = choice.get("stop_reason") == DEADLINE
                reason = DEADLINE if is_late else _FINISH_REASONS[reason]
            return StreamEvent(choice.get("token_ids") or (), choice.get("text") or "", reason)
        return StreamEvent()


class SGLang(Dialect):
    """The same with two differences: top-k is off at -1, and a token can only be ruled out
    everywhere, whatever stands before it."""

    top_k_off = -1

    def rule(self, forbidden: ForbiddenPair) -> dict[str, Any]:
        return {"logit_bias": {str(forbidden.token): -100.0}}


class LlamaServer(Dialect):
    """llama-server's own `/completion`: its `/v1/completions` sends no token ids."""

    def url(self, base: str) -> str:
        return f"{base.removesuffix('/v1')}/completion"

    def body(self, model: str, text: Progress, request: GenerationRequest) -> dict[str, Any]:
        forbidden = text.tokens.forbidden
        return {
            "prompt": text.prompt.ids,
            "n_predict": text.prompt.limit,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "repeat_penalty": request.repetition_penalty,
            "seed": request.seed,
            "logit_bias": [[forbidden.token, False]] if forbidden else [],
            "stream": True,
            "return_tokens": True,
            # By default it drops unlikely tokens, penalises the last 64 only, and keeps a prompt's
            # cache, by which a text depends on the one before. Newer versions refuse -1 for "all".
            "min_p": 0.0,
            "repeat_last_n": len(text.prompt.ids) + text.prompt.limit,
            "cache_prompt": False,
            "samplers": ["penalties", "temperature", "top_k", "top_p"],
        }

    def read(self, event: Any) -> StreamEvent:
        reason = _STOP_TYPES[event["stop_type"]] if event["stop"] else None
        return StreamEvent(event.get("tokens") or (), event.get("content") or "", reason)


DIALECTS: Mapping[str, Dialect] = {
    "vllm": Dialect(),
    "sglang": SGLang(),
    "llama-server": LlamaServer(),
}
# What a server calls itself in /v1/models: its kind, and its name on the page. One that nobody
# knows is asked as vLLM is: others imitate it.
OWNERS: Mapping[str, tuple[ServerKind, str]] = {
    "vllm": ("vllm", "vLLM"),
    "sglang": ("sglang", "SGLang"),
    "llamacpp": ("llama-server", "llama.cpp"),
    OURS: ("vllm", "OpenVINO"),
}
UNKNOWN_OWNER: tuple[ServerKind, str] = ("vllm", "completions server")
_FINISH_REASONS: Mapping[str, FinishReason] = {"stop": "end_of_tweet", "length": "length"}
_STOP_TYPES: Mapping[str, FinishReason] = {
    "eos": "end_of_tweet",
    "word": "end_of_tweet",
    "limit": "length",
}

"""The Hub's client, step by step: what was done, and what went wrong as one sentence.

Knows the client's errors and the Hub's status codes; must not know what a step is for.
"""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from huggingface_hub import HfApi, get_token, set_client_factory
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._http import default_client_factory, parse_ratelimit_headers

from training.errors import TrainingError

# The client itself would wait for ever.
REQUEST_TIMEOUT_SECONDS = 120.0
TOKENS_PAGE = "https://huggingface.co/settings/tokens"
AGAIN = "Run the same command again; it goes on from what is there."
PLAN = (
    "Since July 2026 a new Space on cpu-basic needs PRO (an organisation: Team or Enterprise), "
    "paid hardware prepaid credits; --hardware zero-a10g is open to free accounts older than 30 "
    "days with a verified e-mail, for two Spaces. See https://huggingface.co/pricing."
)
_MONEY = re.compile(r"\bplan|\bPRO\b|subscri|billing|credit|hardware", re.IGNORECASE)
# What the client raises that is the world's fault: not a bug of ours, which may show itself.
CLIENT_ERRORS = (httpx2.HTTPError, OSError, HFValidationError, ValueError, RuntimeError)


def connected() -> HfApi:
    """The client, with patience that ends. Its token is that of HF_TOKEN or `hf auth login`."""
    set_client_factory(_client)
    # It warns where nothing has changed, which we say ourselves; that it waits and tries again, as
    # after a 429, is another logger's to tell.
    logging.getLogger("huggingface_hub.hf_api").setLevel(logging.ERROR)
    return HfApi()


def require_token() -> None:
    """Finds out before the work that nobody is logged in.

    Raises:
        TrainingError: there is no token.
    """
    if not get_token():
        raise TrainingError(
            f"There is no token. Make one with the role write at {TOKENS_PAGE}, then set HF_TOKEN "
            "to it or run `hf auth login`. (--dry-run needs none.)"
        )


@dataclass
class Steps:
    """What was changed so far: told as it happens, and again if the rest does not come. Whether
    a step that was cut off (`in_doubt`) was done, only the Hub knows."""

    done: list[str] = field(default_factory=list)
    in_doubt: str = ""

    @contextmanager
    def step(self, doing: str, changed: str = "", unsure: bool = False) -> Iterator[None]:
        """One request or a few: `doing` as in "could not …"; `changed` is what is different on the
        Hub afterwards, if something is. If only the step itself can tell, it is `unsure`.

        Raises:
            TrainingError: the client failed; says why and what to do.
        """
        self.in_doubt = doing if changed or unsure else ""
        try:
            yield
        except CLIENT_ERRORS as error:
            if isinstance(error, HfHubHTTPError | HFValidationError | ValueError):
                self.in_doubt = ""
            raise TrainingError(f"Could not {doing}: {sentence(error)}") from error
        self.in_doubt = ""
        if changed:
            self.add(changed)

    def add(self, changed: str) -> None:
        self.done.append(changed)
        say(changed)

    def told(self) -> str:
        """What an owner must know of a run that ended early."""
        if not self.done and not self.in_doubt:
            return "Nothing on the Hub was changed."
        doubt = f"Whether the Hub did {self.in_doubt!r} is not known. " if self.in_doubt else ""
        done = f"Done before, and still so: {'; '.join(self.done)}. " if self.done else ""
        return f"{doubt}{done}{AGAIN}"


def sentence(error: Exception) -> str:
    """What went wrong between us and the Hub, and what to do about it."""
    match error:
        case RevisionNotFoundError():
            return "there is no such branch, tag or commit. Correct the revision."
        case GatedRepoError():
            return (
                "it is gated, and this token has not been granted access. Ask for it on its page."
            )
        case RepositoryNotFoundError():
            return (
                "it does not exist, or this token may not see it. Correct the name, or take a "
                "token that may."
            )
        case HfHubHTTPError():
            return _refusal(error)
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set. Unset it."
        case HFValidationError() | ValueError():
            return f"{_first_line(error)}. Correct it."
        case httpx2.TimeoutException():
            return f"the Hub did not answer within {REQUEST_TIMEOUT_SECONDS:g} seconds. Try later."
        case httpx2.ConnectError():
            return "the Hub could not be reached. Look at your connection (and at HF_ENDPOINT)."
    return f"the connection was lost ({type(error).__name__})."


def _refusal(error: HfHubHTTPError) -> str:
    """A status code, with what the Hub says itself."""
    status = error.response.status_code
    said = f"{status}: {_plain(error.server_message)}" if error.server_message else f"{status}"
    match status:
        case 401:
            return f"the Hub does not accept the token ({said}). Make a new one at {TOKENS_PAGE}."
        case 402:
            return f"it takes a plan or credits ({said}). {PLAN}"
        case 403:
            return (
                f"the Hub does not allow it ({said}). The token must have the role write for that "
                f"name ({TOKENS_PAGE}).{f' {PLAN}' if _MONEY.search(said) else ''}"
            )
        case 404:
            return f"the Hub does not find it ({said}). Correct the name."
        case 409:
            return f"another change is under way ({said}). Wait a minute."
        case 412:
            return f"somebody else changed it meanwhile ({said}). Try once more."
        case 429:
            return f"the Hub's rate limit is reached ({_rate(error.response)})."
        case _ if status >= 500:
            return f"the Hub has a fault of its own ({said}). Try again later."
    return f"the Hub refused it ({said}). Correct that."


def _rate(response: Any) -> str:
    limit = parse_ratelimit_headers(response.headers)
    if limit is None:
        after = response.headers.get("Retry-After", "")
        return f"429; wait {after} seconds" if after.isdigit() else "429; wait five minutes"
    of = f"{limit.limit} requests in {limit.window_seconds} seconds; " if limit.limit else ""
    return f"429: {of}wait {limit.reset_in_seconds} seconds"


def _plain(message: str) -> str:
    return re.sub(r"\s+", " ", message).strip().rstrip(".")[:300]


def _first_line(error: Exception) -> str:
    return _plain(str(error).strip().split("\n")[0]) or type(error).__name__


def _client() -> Any:
    client = default_client_factory()
    client.timeout = REQUEST_TIMEOUT_SECONDS
    return client


def say(line: str) -> None:
    """To the owner, at once."""
    print(line, flush=True)


def complain(line: str) -> None:
    """The same, where errors go."""
    print(line, file=sys.stderr, flush=True)

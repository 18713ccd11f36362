"""What went wrong between here and the Hub, as one sentence that says what to do.

Knows the client's errors and the Hub's status codes; must not know what was being done.
"""

import json
import re
from collections.abc import Mapping

import httpx2
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._http import parse_ratelimit_headers

from demo.checkpoints.hub import is_of_this_disk
from training.hub.client import REQUEST_TIMEOUT_SECONDS, TOKENS_PAGE

_MAX_SAID = 300
_IN_WORDS = re.compile(r"HTTP status (?:client|server) error \((\d{3})")


def is_refusal(error: BaseException) -> bool:
    """Whether what was asked for was surely not done: refused by the Hub, or never sent."""
    error = _bare(error)
    if status := _status(error):
        return status < 500
    if isinstance(error, json.JSONDecodeError):
        return False
    return isinstance(error, ValueError) or is_of_this_disk(error)


def sentence(error: BaseException) -> str:
    """What went wrong between us and the Hub, and what to do about it."""
    error = _bare(error)
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
        case _ if status := _status(error):
            return _refusal(status, error)
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set. Unset it."
        case json.JSONDecodeError():
            return "what answered is no Hub, or has a fault of its own. Look at HF_ENDPOINT."
        case HFValidationError() | ValueError():
            return f"{_first_line(error)}. Correct it."
        case httpx2.TimeoutException():
            return f"the Hub did not answer within {REQUEST_TIMEOUT_SECONDS:g} seconds. Try later."
        case httpx2.ConnectError():
            return "the Hub could not be reached. Look at your connection (and at HF_ENDPOINT)."
        case httpx2.HTTPError() | ConnectionError():
            return f"the connection was lost ({type(error).__name__}). Look at it, then try again."
        case OSError() if is_of_this_disk(error):
            return f"this machine's disk failed ({error.strerror}). Make room, or mend it."
    return f"its client failed ({type(error).__name__}: {_first_line(error)})."


def _bare(error: BaseException) -> BaseException:
    """Without what the client wraps around an upload's or a download's error."""
    wrappers = RuntimeError, LocalEntryNotFoundError
    while isinstance(error, wrappers) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _status(error: BaseException) -> int:
    """The Hub's status code; 0 if it did not answer. Xet's client tells it in words alone."""
    if isinstance(error, HfHubHTTPError):
        return int(error.response.status_code)
    told = _IN_WORDS.search(str(error))
    return int(told[1]) if told else 0


def _refusal(status: int, error: BaseException) -> str:
    """A status code, with what the Hub says itself."""
    message = getattr(error, "server_message", None)
    said = f"{status}: {_plain(message)}" if message else f"{status}"
    match status:
        case 401:
            return f"the Hub does not accept the token ({said}). Make a new one at {TOKENS_PAGE}."
        case 402:
            return f"it takes a plan or credits ({said}). See https://huggingface.co/pricing."
        case 403:
            return (
                f"the Hub does not allow it ({said}). The token must have the role write for that "
                f"name ({TOKENS_PAGE})."
            )
        case 404:
            return f"the Hub does not find it ({said}). Correct the name."
        case 409:
            return (
                f"it is there already, or another change is under way ({said}). Wait a minute, "
                "then look at what is there."
            )
        case 412:
            return f"somebody else changed it meanwhile ({said}). Look at what they did first."
        case 429:
            return f"the Hub's rate limit is reached ({_rate(error)})."
        case _ if status >= 500:
            return f"the Hub has a fault of its own ({said}). Try again later."
    return f"the Hub refused it ({said}). Correct that."


def _rate(error: BaseException) -> str:
    headers: Mapping[str, str] = error.response.headers if isinstance(error, HfHubHTTPError) else {}
    limit = parse_ratelimit_headers(headers)
    if limit is None:
        after = headers.get("Retry-After", "")
        return f"429; wait {after} seconds" if after.isdigit() else "429; wait five minutes"
    of = f"{limit.limit} requests in {limit.window_seconds} seconds; " if limit.limit else ""
    return f"429: {of}wait {limit.reset_in_seconds} seconds"


def _plain(message: str) -> str:
    return re.sub(r"\s+", " ", message).strip().rstrip(".")[:_MAX_SAID]


def _first_line(error: BaseException) -> str:
    return _plain(str(error).strip().split("\n")[0]) or type(error).__name__

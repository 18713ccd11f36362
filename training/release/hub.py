"""The Hub's client, its errors as sentences, and the record of what a command changed there."""

import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from huggingface_hub import HfApi, get_token, set_client_factory
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._http import default_client_factory, parse_ratelimit_headers

from demo.checkpoints.hub import is_of_this_disk
from training import EXPECTED, TrainingError

# Applies to a connection on which nothing moves; the client itself would wait for ever.
REQUEST_TIMEOUT_SECONDS = 60.0
TOKENS_PAGE = "https://huggingface.co/settings/tokens"
RUN_AGAIN = "Run the same command again; it goes on from what is there."
_STATUSES = {
    401: f"the Hub does not accept the token ({{}}). Make a new one at {TOKENS_PAGE}.",
    402: "it takes a plan or credits ({}). See https://huggingface.co/pricing.",
    403: "the Hub does not allow it ({}). The token must have the role write for that name "
    f"({TOKENS_PAGE}).",
    404: "the Hub does not find it ({}). Correct the name.",
    409: "it is there already, or another change is under way ({}). Wait a minute, then look at "
    "what is there.",
    412: "somebody else changed it meanwhile ({}). Look at what they did first.",
    429: "the Hub's rate limit is reached ({}).",
    500: "the Hub has a fault of its own ({}). Try again later.",
}
_REFUSED = "the Hub refused it ({}). Correct that."
_MAX_MESSAGE = 300
# Xet's client reports a status code only inside its message.
_STATUS_IN_TEXT = re.compile(r"HTTP status (?:client|server) error \((\d{3})")
_PAYMENT = re.compile(r"\bplans?\b|\bPRO\b|subscri|billing|credit|hardware", re.IGNORECASE)
_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def connect() -> HfApi:
    """The client, with a timeout on every request. It reads its token from HF_TOKEN or from
    `hf auth login`."""
    set_client_factory(_client_with_timeouts)
    # It warns about an empty commit, which we report ourselves. Its retries are another logger's.
    logging.getLogger("huggingface_hub.hf_api").setLevel(logging.ERROR)
    return HfApi()


def _client_with_timeouts() -> Any:
    client = default_client_factory()
    client.event_hooks["request"].append(_set_timeouts)
    return client


def _set_timeouts(request: Any) -> None:
    # Many of the client's calls ask for no timeout, which takes precedence over the client's own.
    given = request.extensions.get("timeout") or {}
    request.extensions["timeout"] = {
        name: given.get(name) or REQUEST_TIMEOUT_SECONDS
        for name in ("connect", "read", "write", "pool")
    }


def require_token() -> None:
    """Raises TrainingError if there is no token, or it cannot be one."""
    token = get_token()
    if not token:
        raise TrainingError(
            f"There is no token. Make one with the role write at {TOKENS_PAGE}, then set HF_TOKEN "
            "to it or run `hf auth login`. (--dry-run needs none.)"
        )
    if not (token.isascii() and token.isprintable()):
        raise TrainingError(
            "The token holds a character that no token has. Set HF_TOKEN to exactly what "
            f"{TOKENS_PAGE} showed."
        )


def require_repo_id(option: str, repo_id: str) -> None:
    """Raises TrainingError if the option's value is not the name of a repository."""
    if not _REPO_ID.fullmatch(repo_id):
        raise TrainingError(f"{option} is {repo_id!r}; it must look like user/name.")


def say(line: str) -> None:
    """Prints a line at once. A closed pipe does not end a push half-way."""
    try:
        # A file's name may contain bytes that are not UTF-8.
        print(line.encode("utf-8", "replace").decode(), flush=True)
    except OSError:
        # What is still buffered would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass
class Steps:
    """The changes made on the Hub so far, printed as they happen and again if the command fails.
    `in_doubt` is a step that was cut off: only the Hub knows whether it was done."""

    done: list[str] = field(default_factory=list)
    in_doubt: str = ""

    @contextmanager
    def step(self, doing: str, changed: str = "", unsure: bool = False) -> Iterator[None]:
        """Wraps one request or a few. `doing` completes "could not …"; `changed` says what is
        different on the Hub afterwards. A step is `unsure` if it adds what it changed by itself.
        Raises TrainingError if the client failed; the message says why and what to do."""
        self.in_doubt = doing if changed or unsure else ""
        try:
            yield
        except TrainingError:
            raise
        # The client raises many types, also when it does not understand an answer.
        except Exception as error:
            if is_refusal(error):
                self.in_doubt = ""
            raise TrainingError(f"Could not {doing}: {explain(error)}") from error
        self.in_doubt = ""
        if changed:
            self.add(changed)

    def add(self, changed: str) -> None:
        self.done.append(changed)
        say(changed)

    @contextmanager
    def reported_on_failure(self) -> Iterator[None]:
        """Adds the summary to whatever ends the work early. Raises TrainingError: the one raised
        inside, with the summary."""
        try:
            yield
        except EXPECTED as error:
            raise TrainingError(f"{error}\n{self.summary()}") from error
        except KeyboardInterrupt:
            print(self.summary(), file=sys.stderr, flush=True)
            raise

    def summary(self) -> str:
        """What an owner must know after a command that ended early."""
        if not self.done and not self.in_doubt:
            return "Nothing on the Hub was changed."
        doubt = f"Whether the Hub did {self.in_doubt!r} is not known. " if self.in_doubt else ""
        done = f"Done before, and still so: {'; '.join(self.done)}. " if self.done else ""
        return f"{doubt}{done}{RUN_AGAIN}"


def is_refusal(error: BaseException) -> bool:
    """Whether the request was certainly not carried out: the Hub refused it, or it was not sent."""
    error = _unwrapped(error)
    if status := _status(error):
        return status < 500
    if isinstance(error, json.JSONDecodeError):
        return False
    return isinstance(error, ValueError) or is_of_this_disk(error)


def needs_payment(error: BaseException | None) -> bool:
    """Whether the Hub refused because of the account's plan or credits. Only the Hub's own message
    is read, without names of repositories: one may be called "plan"."""
    if not isinstance(error, HfHubHTTPError):
        return False
    message = _REPO_ID.sub("", error.server_message or "")
    return _status(error) == 402 or bool(_PAYMENT.search(message))


def explain(error: BaseException) -> str:
    """An error of the client as one sentence with what to do about it."""
    error = _unwrapped(error)
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
            message = getattr(error, "server_message", None)
            quoted = f"{status}: {_plain(message)}" if message else f"{status}"
            if status == 429:
                quoted = _rate_limit(error)
            return _STATUSES.get(min(status, 500), _REFUSED).format(quoted)
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


def _rate_limit(error: BaseException) -> str:
    headers: Mapping[str, str] = error.response.headers if isinstance(error, HfHubHTTPError) else {}
    limit = parse_ratelimit_headers(headers)
    if limit is None:
        after = headers.get("Retry-After", "")
        return f"429; wait {after} seconds" if after.isdigit() else "429; wait five minutes"
    of = f"{limit.limit} requests in {limit.window_seconds} seconds; " if limit.limit else ""
    return f"429: {of}wait {limit.reset_in_seconds} seconds"


def _unwrapped(error: BaseException) -> BaseException:
    """The cause inside the errors in which the client wraps a failed upload or download."""
    wrappers = RuntimeError, LocalEntryNotFoundError
    while isinstance(error, wrappers) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _status(error: BaseException) -> int:
    """The Hub's status code; 0 if it did not answer."""
    if isinstance(error, HfHubHTTPError):
        return int(error.response.status_code)
    found = _STATUS_IN_TEXT.search(str(error))
    return int(found[1]) if found else 0


def _plain(message: str) -> str:
    return re.sub(r"\s+", " ", message).strip().rstrip(".")[:_MAX_MESSAGE]


def _first_line(error: BaseException) -> str:
    return _plain(str(error).strip().split("\n")[0]) or type(error).__name__

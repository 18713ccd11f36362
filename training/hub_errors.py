"""What went wrong between here and the Hub, as one sentence that says what to do.

Knows the client's errors; must not know what is pushed. A sentence ends with what is on the Hub
now: one commit is there whole, or not at all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils._http import parse_ratelimit_headers

from training.errors import TrainingError


@dataclass
class Progress:
    """How far a push has come: `doing` is what is under way, as "while …" goes on.

    `is_new` says that this run made the repository, `is_sent` that a commit was sent off, `commit`
    that it arrived; `tag` is what it is to be tagged with.
    """

    repo_id: str
    tag: str
    doing: str = ""
    is_new: bool = False
    is_sent: bool = False
    commit: str = ""

    def left(self) -> str:
        """What is on the Hub now, as a sentence."""
        if self.commit:
            return (
                f"Commit {self.commit[:12]} is on main of {self.repo_id}, without the tag "
                f"{self.tag}: run the same command again with --tag; what is there is not pushed "
                "twice."
            )
        if self.is_sent:
            return (
                f"Whether the commit arrived at {self.repo_id} is not known: run the same command "
                "again; what is there is not pushed twice."
            )
        if self.is_new:
            return f"{self.repo_id} was made by this run and is empty: run the same command again."
        return f"Nothing of {self.repo_id} was changed."

    @contextmanager
    def while_doing(self, what: str) -> Iterator[None]:
        """Whatever the client raises inside is raised again as a sentence.

        Raises:
            TrainingError: what it became.
        """
        self.doing = what
        try:
            yield
        except TrainingError:
            raise
        except Exception as error:
            raise TrainingError(self._sentence(_bare(error))) from error

    def _sentence(self, error: BaseException) -> str:
        if isinstance(error, HfHubHTTPError) and error.response is not None:
            if error.response.status_code < 500:
                # Refused: it did not arrive.
                self.is_sent = False
            return f"{_refusal(error, self)} {self.left()}"
        if isinstance(error, HFValidationError):
            return f"{self.repo_id!r} is no name of a repository: it must look like user/name."
        if isinstance(error, ValueError):
            return f"The Hub refused it while {self.doing}: {_line(error)} {self.left()}"
        if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
            return f"This disk failed while {self.doing}: {error.strerror}. {self.left()}"
        return (
            f"The connection to the Hub was lost while {self.doing} ({type(error).__name__}). "
            f"{self.left()}"
        )


def _bare(error: BaseException) -> BaseException:
    """Without what the client wraps around an upload's error."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _refusal(error: HfHubHTTPError, progress: Progress) -> str:
    status, repo_id, doing = error.response.status_code, progress.repo_id, progress.doing
    owner = repo_id.partition("/")[0]
    match status:
        case 401:
            return (
                "The Hub does not know this token (401): make one that may write, at "
                f"huggingface.co/settings/tokens, and set HF_TOKEN (while {doing})."
            )
        case 403:
            return (
                f"The token may not write to {repo_id} (403, while {doing}): take one with write "
                f"access to {owner}."
            )
        case 404:
            return (
                f"{repo_id} is not there, or the token may not see it (404, while {doing}): "
                "correct the name or the token."
            )
        case 409:
            return f"It is there already (409, while {doing}): somebody else made it meanwhile."
        case 412:
            return (
                f"Somebody else pushed to {repo_id} meanwhile (412): look at what they pushed, "
                "then run the same command again."
            )
        case 429:
            return f"The Hub wants fewer requests (429, while {doing}): {_rate(error)}."
    if status >= 500:
        return f"The Hub failed ({status}, while {doing}): try again in some minutes."
    return f"The Hub refused it ({status}, while {doing}): {_line(error)}"


def _rate(error: HfHubHTTPError) -> str:
    headers = error.response.headers
    told = parse_ratelimit_headers(headers)
    if told is None:
        seconds = headers.get("Retry-After", "")
        return f"try again in {seconds} seconds" if seconds.isdigit() else "try again in an hour"
    window = f" in {told.window_seconds} seconds" if told.window_seconds else ""
    limit = f" of {told.limit}" if told.limit else ""
    return (
        f"{told.remaining}{limit} {told.resource_type} requests{window} are left, try again in "
        f"{told.reset_in_seconds} seconds"
    )


def _line(error: BaseException) -> str:
    message = " ".join(str(getattr(error, "server_message", None) or error).split())
    return f"{message.rstrip('.')}." if message else f"{type(error).__name__}."

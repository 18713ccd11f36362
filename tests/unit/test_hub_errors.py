"""Errors of the Hub's client as sentences, and what is known to be done after them."""

import errno
import json
import socket

import httpx2
import pytest
from huggingface_hub import get_session
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)

from training import TrainingError
from training.release.hub import RUN_AGAIN, Steps, connect, explain, is_refusal, needs_payment


def answered(status: int, said: str = "", **headers: str) -> HfHubHTTPError:
    """An answer as the client raises it."""
    response = httpx2.Response(status, headers=headers, request=httpx2.Request("GET", "http://hub"))
    return HfHubHTTPError("refused", response=response, server_message=said or None)


def wrapped(error: Exception) -> RuntimeError:
    """As the client wraps an upload's."""
    wrapping = RuntimeError("Error while uploading")
    wrapping.__cause__ = error
    return wrapping


@pytest.mark.parametrize(
    ("error", "said", "refused"),
    [
        (answered(401), "does not accept the token (401). Make a new one at https://", True),
        (answered(403), "must have the role write for that name", True),
        (answered(429, **{"Retry-After": "7"}), "(429; wait 7 seconds)", True),
        (answered(429), "(429; wait five minutes)", True),
        (answered(502), "has a fault of its own (502). Try again later.", False),
        (answered(418), "refused it (418)", True),
        (wrapped(answered(403)), "does not allow it (403)", True),
        (wrapped(httpx2.ReadError("")), "the connection was lost (ReadError). Look at it", False),
        (httpx2.ReadTimeout(""), "did not answer within 60 seconds", False),
        (httpx2.ConnectError(""), "could not be reached. Look at your connection", False),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "the connection was lost", False),
        (OSError(errno.ENOSPC, "No space left"), "disk failed (No space left)", True),
        (OfflineModeIsEnabled(""), "HF_HUB_OFFLINE is set. Unset it.", False),
        (HFValidationError("bad id"), "bad id. Correct it.", True),
        (json.JSONDecodeError("Expecting value", "<html>", 0), "is no Hub", False),
        (RuntimeError("Xet failed\nat once"), "failed (RuntimeError: Xet failed).", False),
        (ConnectionError("Xet: HTTP status client error (403 Forbidden) for url"), "(403)", True),
        (LocalEntryNotFoundError("no such file"), "no such file", False),
        (KeyError("commitOid"), "its client failed (KeyError: 'commitOid').", False),
    ],
    ids=lambda value: None,
)
def test_an_error_becomes_a_explain(error: Exception, said: str, refused: bool) -> None:
    assert said in explain(error)
    assert is_refusal(error) is refused


def test_no_request_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the client asks for no timeout in most of its calls."""
    monkeypatch.setattr("training.release.hub.REQUEST_TIMEOUT_SECONDS", 0.2)
    silent = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{silent.getsockname()[1]}"
    connect()
    with silent, pytest.raises(httpx2.ReadTimeout):
        get_session().get(address, timeout=None)


def test_the_hub_itself_is_quoted_in_one_short_line() -> None:
    told = explain(answered(400, "too  big. " + "x" * 1_000))
    assert told.startswith("the Hub refused it (400: too big. xxx")
    assert len(told) < 400


@pytest.mark.parametrize(
    ("error", "is_needed"),
    [
        (answered(402), True),
        (answered(402, "Payment required"), True),
        (answered(403, "Gradio Spaces require a PRO subscription"), True),
        (answered(400, "This hardware needs prepaid credits"), True),
        (answered(403, "Forbidden"), False),
        (answered(403, "You may not write to alice/plan-b"), False),
        (TrainingError("Could not make the public Space alice/plan-b"), False),
        (None, False),
    ],
    ids=lambda value: None,
)
def test_only_the_hubs_own_words_tell_that_a_plan_is_needed(
    error: Exception | None, is_needed: bool
) -> None:
    """And not the name of a repository."""
    assert needs_payment(error) is is_needed


def test_what_was_done_is_told_and_what_is_in_doubt() -> None:
    steps = Steps()
    lost = pytest.raises(TrainingError, match="Could not look: the connection was lost")
    with lost, steps.step("look"):
        raise httpx2.ReadError("")
    assert steps.summary() == "Nothing on the Hub was changed."
    with steps.step("make it", "made it"):
        pass
    with pytest.raises(TrainingError), steps.step("fill it", "filled it"):
        raise answered(403)
    assert steps.summary() == f"Done before, and still so: made it. {RUN_AGAIN}"
    with pytest.raises(TrainingError), steps.step("fill it", "filled it"):
        raise answered(500)
    assert steps.summary().startswith("Whether the Hub did 'fill it' is not known. Done before")

"""Waits until a Space runs what was pushed, and says what happens meanwhile.

Knows a Space's stages, its commit and the demo's /readyz; must not know which files were pushed.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
from huggingface_hub import HfApi, SpaceRuntime

from training.errors import TrainingError
from training.hub.errors import sentence
from training.hub.steps import say
from training.space.settings import Space

FAILED = ("BUILD_ERROR", "RUNTIME_ERROR", "CONFIG_ERROR", "NO_APP_FILE")
HALTED = ("PAUSED", "STOPPED", "DELETING")
# A lost connection is no reason to stop waiting; so many in a row are.
LOST_IN_A_ROW = 5
# The Hub may take so long to notice a commit, and tells of the version before meanwhile.
SETTLED_SECONDS = 20.0
LOG_LINES = 15
LOG_SECONDS = 20.0


@dataclass(frozen=True)
class Change:
    """What a Space is to be started anew for; `commit` is what it is to run then. It may have
    been on its way to another version before (`was_pending`)."""

    commit: str
    files: bool
    settings: bool
    was_pending: bool


def wait_until_it_runs(
    api: HfApi, space: Space, change: Change, headers: Mapping[str, str], patience_seconds: float
) -> None:
    """Returns once the Space could write a text; `headers` open a private one.

    Raises:
        TrainingError: it failed (with the end of its log), was halted, or did not come up in time.
    """
    started, told, waited = time.monotonic(), "", _Settling(change)
    lost = 0
    for elapsed in _pauses(started):
        try:
            runtime = api.get_space_runtime(space.space_id)
            lost = 0
        # It goes on by itself whatever the client meets.
        except Exception as error:
            lost += 1
            if lost >= LOST_IN_A_ROW:
                raise TrainingError(
                    f"Could not ask how {space.space_id} is getting on: {sentence(error)} It goes "
                    f"on without this command; look at {page(space)}."
                ) from error
            state = "(no answer from the Hub; asking again)"
        else:
            state = waited.state(runtime, elapsed)
            if not state:
                _require_no_failure(api, space, runtime)
                state = _readiness(api, space, headers)
        if state == "SLEEPING":
            _wake(space, headers)
        if state == "ready":
            say(f"{elapsed:6.0f} s  RUNNING")
            return
        if state != told:
            say(f"{elapsed:6.0f} s  {state}")
            told = state
        if elapsed > patience_seconds:
            raise TrainingError(
                f"{space.space_id} did not come up within {patience_seconds / 60:g} minutes; its "
                f"last state was {told}. It goes on without this command: look at {page(space)}"
                f"?logs=container, or wait longer with --timeout-minutes.{_log(api, space, False)}"
            )


def is_pending(stage: str) -> bool:
    """Whether it neither runs nor has come to an end: it is built, starts, or sleeps."""
    return bool(stage) and stage not in ("RUNNING", *FAILED, *HALTED)


def page(space: Space) -> str:
    """Where a person looks at it."""
    return f"https://huggingface.co/spaces/{space.space_id}"


class _Settling:
    """Tells what ran before, and may still do, from what was pushed or set."""

    def __init__(self, change: Change) -> None:
        self._change, self._moved = change, False
        self._may_be_older = change.was_pending

    def state(self, runtime: SpaceRuntime, elapsed: float) -> str:
        """What to tell the owner; empty if it is of the new version, and the last word on it."""
        stage, sha = str(runtime.stage), runtime.raw.get("sha")
        if is_pending(stage):
            self._moved = not self._may_be_older
            return stage
        self._may_be_older = False
        if stage == "RUNNING" and sha and sha != self._change.commit:
            return "RUNNING another version"
        # Of one that failed, it may be the commit that still runs, or the one that does not.
        proven = stage == "RUNNING" and sha == self._change.commit and self._change.files
        expected = self._change.files or self._change.settings
        if expected and not proven and not self._moved and elapsed < SETTLED_SECONDS:
            return f"{stage}, maybe of what was there before"
        return ""


def _pauses(started: float) -> Iterator[float]:
    """Seconds since the start, at growing distances: the Hub counts requests."""
    pause = 0.5
    while True:
        yield time.monotonic() - started
        time.sleep(pause)
        pause = min(10.0, 1.5 * pause)


def _require_no_failure(api: HfApi, space: Space, runtime: SpaceRuntime) -> None:
    stage = str(runtime.stage)
    said = runtime.raw.get("errorMessage")
    because = f" ({said})" if said else ""
    if stage in FAILED:
        build = stage != "RUNTIME_ERROR"
        where = f"{page(space)}?logs={'build' if build else 'container'}"
        raise TrainingError(
            f"{space.space_id} failed: {stage}{because}. Mend what the log says and run the same "
            f"command again; all of it is at {where}.{_log(api, space, build)}"
        )
    if stage in HALTED:
        raise TrainingError(
            f"{space.space_id} is {stage}{because}, so nothing runs. Restart it on "
            f"{page(space)}/settings, then run the same command again."
        )


def _wake(space: Space, headers: Mapping[str, str]) -> None:
    """Visits it: that is what wakes a Space."""
    with suppress(httpx.HTTPError):
        httpx.get(space.address, headers=dict(headers), timeout=20)


def _readiness(api: HfApi, space: Space, headers: Mapping[str, str]) -> str:
    """What the demo itself says: "ready", or what to tell the owner.

    Raises:
        TrainingError: it says that it failed.
    """
    try:
        answer = httpx.get(f"{space.address}/readyz", headers=dict(headers), timeout=20)
        status = str(answer.json()["status"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return f"RUNNING, but no answer from {space.address}/readyz yet"
    if status == "failed":
        raise TrainingError(
            f"{space.space_id} runs, but its model could not be loaded. Mend what the log says and "
            f"run the same command again.{_log(api, space, build=False)}"
        )
    return status if status == "ready" else f"RUNNING, the model is {status}"


def _log(api: HfApi, space: Space, build: bool) -> str:
    """The end of the Space's log, if it can be had."""
    lines: list[str] = []
    deadline = time.monotonic() + LOG_SECONDS
    with suppress(Exception):
        for line in api.fetch_space_logs(space.space_id, build=build):
            lines += line.splitlines()
            if time.monotonic() > deadline:
                break
    shown = "".join(f"\n    {line}" for line in lines[-LOG_LINES:])
    return f"\nThe end of its {'build' if build else 'run'} log:{shown}" if lines else ""


def headers_for(space: Space, token: str | None) -> dict[str, Any]:
    """A private Space opens to its owner's token; a public one is never sent it."""
    return {"Authorization": f"Bearer {token}"} if space.private and token else {}

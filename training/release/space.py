"""A Space on the Hub: where it is, how it is created, waited for and called.

`HfApi.wait_for_space` is not used: it prints no stages, ends at the first lost connection, and
returns at the RUNNING, or the error, of the version before, which the Hub reports for a while.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from huggingface_hub import SpaceRuntime, get_session

from training import TrainingError
from training.release.hub import explain, needs_payment, say
from training.release.repository import Head, Repository

PLANS = (
    "Since July 2026 a new Space on cpu-basic needs PRO (an organisation: Team or Enterprise), "
    "paid hardware prepaid credits; --hardware zero-a10g is open to free accounts older than 30 "
    "days with a verified e-mail, for two Spaces. See https://huggingface.co/pricing."
)
FAILED = ("BUILD_ERROR", "RUNTIME_ERROR", "CONFIG_ERROR", "NO_APP_FILE")
HALTED = ("PAUSED", "STOPPED", "DELETING")
# One lost connection is no reason to stop waiting; so many in a row are.
LOST_IN_A_ROW = 5
# The Hub may take so long to notice a commit.
NOTICED_SECONDS = 20.0
LOG_LINES = 15
LOG_SECONDS = 20.0
# Each request to the demo itself.
DEMO_SECONDS = 20.0
PROMPT = "Today I'll be"
TOKENS = 40
CALL_SECONDS = 180.0


@dataclass(frozen=True)
class Space:
    """A Space as the Hub describes it; `address` is the demo's own."""

    space_id: str
    private: bool
    address: str
    hardware: str
    stage: str

    @property
    def page(self) -> str:
        return f"https://huggingface.co/spaces/{self.space_id}"


def find_space(repository: Repository) -> Space:
    """The Space as it is now. Raises TrainingError if the Hub did not answer."""
    space_id = repository.repo_id
    with repository.steps.step(f"ask where {space_id} is"):
        info = repository.api.space_info(space_id)
    subdomain = info.subdomain or space_id.replace("/", "-").lower()
    address = info.host or f"https://{subdomain}.hf.space"
    runtime = info.runtime
    hardware = str((runtime.requested_hardware or runtime.hardware or "") if runtime else "")
    stage = str(runtime.stage) if runtime else ""
    return Space(space_id, bool(info.private), address.rstrip("/"), hardware, stage)


def create_space(
    repository: Repository, private: bool, hardware: str, variables: Mapping[str, str]
) -> Head:
    """Creates the Space with its hardware, since the account may not be allowed the default one,
    and with its variables, so that it never starts without them. Raises TrainingError if the Hub
    refused it, or did not answer."""
    on = f" on {hardware}" if hardware else ""
    told = ", ".join(f"{name}={value}" for name, value in variables.items())
    given = [{"key": name, "value": value} for name, value in variables.items()]
    try:
        return repository.create(
            private,
            f"{on}{' with ' if told else ''}{told}",
            space_sdk="gradio",
            space_hardware=hardware or None,
            space_variables=given,
        )
    except TrainingError as error:
        if needs_payment(error.__cause__):
            raise TrainingError(f"{error} {PLANS}") from error
        raise


@dataclass(frozen=True)
class Change:
    """What was changed and makes a Space restart; `commit` is what it must run then. `was_pending`
    says that it was already on its way to another version, `variables` all that it has now."""

    commit: str
    files: bool
    settings: bool
    was_pending: bool
    variables: Mapping[str, str]


def is_pending(stage: str) -> bool:
    """Whether a Space neither runs nor has failed or halted: it is built, starts, or sleeps."""
    return bool(stage) and stage not in ("RUNNING", *FAILED, *HALTED)


def authorization_for(space: Space, token: str | None) -> dict[str, str]:
    """Headers for the demo: its owner's token for a private one, nothing for a public one."""
    return {"Authorization": f"Bearer {token}"} if space.private and token else {}


def wait_until_running(
    repository: Repository,
    space: Space,
    change: Change,
    headers: Mapping[str, str],
    patience_seconds: float,
) -> None:
    """Returns once the Space could generate a text. Raises TrainingError if it failed (with the end
    of its log), was halted, or did not come up in time."""
    progress, last_state, lost = _Progress(change), "", 0
    for elapsed in _poll():
        try:
            runtime = repository.api.get_space_runtime(space.space_id)
            lost = 0
        # The Space goes on by itself, whatever the client meets.
        except Exception as error:
            lost += 1
            if lost >= LOST_IN_A_ROW:
                raise TrainingError(
                    f"Could not ask how {space.space_id} is getting on: {explain(error)} It goes "
                    f"on without this command; look at {space.page}."
                ) from error
            state = "(no answer from the Hub; asking again)"
        else:
            state = progress.state(runtime, elapsed)
            if not state:
                _require_no_failure(repository, space, runtime)
                state = _readiness(repository, space, headers)
        if state == "SLEEPING":
            # A visit wakes it.
            with suppress(Exception):
                _get(space, "/", headers)
        shown = "RUNNING" if state == "ready" else state
        if shown != last_state:
            say(f"{elapsed:6.0f} s  {shown}")
            last_state = shown
        if state == "ready":
            return
        if elapsed > patience_seconds:
            raise TrainingError(
                f"{space.space_id} did not come up within {patience_seconds / 60:g} minutes; its "
                f"last state was {last_state}. It goes on without this command: look at "
                f"{space.page}?logs=container, or wait longer with --timeout-minutes."
                f"{_log(repository, build=False)}"
            )


class _Progress:
    """Tells reports of the changed Space from those of the version before."""

    def __init__(self, change: Change) -> None:
        self._change, self._moved = change, False
        self._may_be_older = change.was_pending

    def state(self, runtime: SpaceRuntime, elapsed: float) -> str:
        """What to print; empty if the report is final and of the changed Space."""
        stage, sha = str(runtime.stage), runtime.raw.get("sha")
        if is_pending(stage):
            self._moved = not self._may_be_older
            return stage
        self._may_be_older = False
        if stage == "RUNNING" and sha and sha != self._change.commit:
            return "RUNNING another version"
        # Of a failed Space, `sha` may be the commit that still runs, or the one that does not.
        proven = stage == "RUNNING" and sha == self._change.commit and self._change.files
        expected = self._change.files or self._change.settings
        if expected and not proven and not self._moved and elapsed < NOTICED_SECONDS:
            return f"{stage}, maybe of what was there before"
        return ""


def _poll() -> Iterator[float]:
    """Seconds since the start, at growing distances: the Hub limits requests."""
    started, pause = time.monotonic(), 0.5
    while True:
        yield time.monotonic() - started
        time.sleep(pause)
        pause = min(10.0, 1.5 * pause)


def _require_no_failure(repository: Repository, space: Space, runtime: SpaceRuntime) -> None:
    stage = str(runtime.stage)
    said = runtime.raw.get("errorMessage")
    because = f" ({said})" if said else ""
    if stage in FAILED:
        build = stage != "RUNTIME_ERROR"
        where = f"{space.page}?logs={'build' if build else 'container'}"
        raise TrainingError(
            f"{space.space_id} failed: {stage}{because}. Mend what the log says and run the same "
            f"command again; all of it is at {where}.{_log(repository, build)}"
        )
    if stage in HALTED:
        raise TrainingError(
            f"{space.space_id} is {stage}{because}, so nothing runs. Restart it on "
            f"{space.page}/settings, then run the same command again."
        )


def _readiness(repository: Repository, space: Space, headers: Mapping[str, str]) -> str:
    """What the demo itself reports: "ready", or what to print."""
    try:
        status = str(_get(space, "/readyz", headers).json()["status"])
    # No answer, or one of the Hub's own pages.
    except Exception:
        return f"RUNNING, but no answer from {space.address}/readyz yet"
    if status == "failed":
        raise TrainingError(
            f"{space.space_id} runs, but its model could not be loaded. Mend what the log says and "
            f"run the same command again.{_log(repository, build=False)}"
        )
    return status if status == "ready" else f"RUNNING, the model is {status}"


def _get(space: Space, path: str, headers: Mapping[str, str]) -> Any:
    return get_session().get(f"{space.address}{path}", headers=dict(headers), timeout=DEMO_SECONDS)


def _log(repository: Repository, build: bool) -> str:
    """The end of the Space's log, if it can be had."""
    lines: list[str] = []
    deadline = time.monotonic() + LOG_SECONDS
    with suppress(Exception):
        for line in repository.api.fetch_space_logs(repository.repo_id, build=build):
            lines += line.splitlines()
            if time.monotonic() > deadline:
                break
    shown = "".join(f"\n    {line}" for line in lines[-LOG_LINES:])
    return f"\nThe end of its {'build' if build else 'run'} log:{shown}" if lines else ""


def ask(space: Space, headers: Mapping[str, str], variables: Mapping[str, str]) -> None:
    """Calls the Space, whose variables these are, as any program would; prints what it answers.
    Raises TrainingError if it does not answer, or another model than the one it was set to does."""
    # It reports calls to a third party otherwise, and reads this when it is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from gradio_client import Client  # noqa: PLC0415

    try:
        # Without `token=False` it would send the owner's token to every app it calls.
        no_token: Any = False
        client = Client(
            space.address, token=no_token, headers=dict(headers), verbose=False,
            analytics_enabled=False, download_files=False, httpx_kwargs={"timeout": CALL_SECONDS},
        )  # fmt: skip
        with closing(client):
            facts = client.submit(api_name="/checkpoint").result(CALL_SECONDS)
            asked = client.submit(PROMPT, max_new_tokens=TOKENS, api_name="/generate")
            result = asked.result(CALL_SECONDS)
        notice = str(_get(space, "/readyz", headers).json().get("notice", ""))
        name, revision = facts["checkpoint"], facts["revision"]
        say(f"/checkpoint answers: {name} at {revision}, written by {facts['engine']} "
            f"({facts['precision']})")  # fmt: skip
        took = f" in {result['seconds']:.1f} s" if "seconds" in result else ""
        say(f"/generate answers{took}:")
        for line in str(result["shareable"]).splitlines():
            # A model may write what a terminal would obey.
            say("    " + "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}"
                                 for c in line))  # fmt: skip
    # gradio_client raises many types, plain Exception among them.
    except Exception as error:
        raise TrainingError(
            f"{space.space_id} runs, but did not answer a call ({type(error).__name__}: {error}). "
            f"Look at {space.page}?logs=container and run the same command again."
        ) from error
    model, commit = variables.get("MODEL_ID", ""), variables.get("MODEL_REVISION", "")
    if model and (name, revision) != (model, commit):
        fell_back = "It fell back to the embedded one. " if name == "embedded" else ""
        raise TrainingError(
            f"{space.space_id} runs {name} at {revision}, not {model} at {commit}. {fell_back}"
            f"{notice or 'It does not say why.'} Mend that and restart it on {space.page}/settings."
        )

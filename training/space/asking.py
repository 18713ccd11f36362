"""Calls a Space that runs, as any program would, and tells the owner what it answered.

Knows the demo's API; must not know how the Space was made.
"""

import os
from collections.abc import Mapping
from typing import Any

import httpx

from training.errors import TrainingError
from training.hub.steps import say
from training.space.settings import Space
from training.space.waiting import page

PROMPT = "Today I'll be"
TOKENS = 40
PATIENCE_SECONDS = 180.0


def ask(space: Space, headers: Mapping[str, str], model: str, commit: str) -> None:
    """Asks which model runs and for a text, and whom the Space sees; `model` and `commit` are what
    it was set to, empty for the embedded checkpoint.

    Raises:
        TrainingError: it does not answer, or another model than that one does.
    """
    try:
        facts, result = _called(space, headers)
        seen = httpx.get(f"{space.address}/visitor", headers=dict(headers), timeout=20)
        visitor = seen.raise_for_status().json()
        notice = str(httpx.get(f"{space.address}/readyz", headers=dict(headers), timeout=20).json()
                     .get("notice", ""))  # fmt: skip
        _tell(facts, result, visitor)
    # gradio_client raises what it likes, plain Exception among it.
    except Exception as error:
        raise TrainingError(
            f"{space.space_id} runs, but did not answer a call ({type(error).__name__}: {error}). "
            f"Look at {page(space)}?logs=container and run the same command again."
        ) from error
    _require_model(space, facts, notice, model, commit)


def _called(space: Space, headers: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    # It counts calls somewhere else otherwise, and reads this when it is made.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from gradio_client import Client  # noqa: PLC0415

    # Without `token=False` it would send the owner's token to every app it calls.
    token: Any = False
    client = Client(
        space.address, token=token, headers=dict(headers), verbose=False, analytics_enabled=False,
        download_files=False, httpx_kwargs={"timeout": PATIENCE_SECONDS},
    )  # fmt: skip
    try:
        facts = client.submit(api_name="/checkpoint").result(PATIENCE_SECONDS)
        asked = client.submit(PROMPT, max_new_tokens=TOKENS, api_name="/generate")
        return facts, asked.result(PATIENCE_SECONDS)
    finally:
        client.close()


def _tell(facts: Mapping[str, Any], result: Mapping[str, Any], visitor: Mapping[str, Any]) -> None:
    say(f"/checkpoint answers: {facts['checkpoint']} at {facts['revision']}, written by "
        f"{facts['engine']} ({facts['precision']})")  # fmt: skip
    say(f"/generate answers in {result.get('seconds', 0):.1f} s:" if "seconds" in result
        else "/generate answers:")  # fmt: skip
    for line in str(result["shareable"]).splitlines():
        # A model may write what a terminal would obey.
        say("    " + "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line))
    forwarded = visitor["forwarded_for"]
    hops = len([address for address in (forwarded or "").split(",") if address.strip()])
    say(f"/visitor saw this machine as {visitor['peer']}, with X-Forwarded-For: {forwarded!r}")
    # This request was sent without that header, so every address in it is a proxy's doing.
    say(f"    so proxies in front of the Space add {hops} address{'es' * (hops > 1)}" if hops
        else "    so no proxy adds an address, and a visitor's is the peer's")  # fmt: skip


def _require_model(
    space: Space, facts: Mapping[str, Any], notice: str, model: str, commit: str
) -> None:
    name, revision = facts["checkpoint"], facts["revision"]
    if not model or (name, revision) == (model, commit):
        return
    fell_back = "It fell back to the embedded one. " if name == "embedded" else ""
    raise TrainingError(
        f"{space.space_id} runs {name} at {revision}, not {model} at {commit}. {fell_back}"
        f"{notice or 'It does not say why.'} Mend that and restart it on {page(space)}/settings."
    )

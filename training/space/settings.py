"""What a Space on the Hub is set to, and where it is: variables, secrets, hardware, address.

Knows the Hub's client; must not know what the settings mean, nor which files there are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import HfApi

from training.errors import TrainingError
from training.hub.repository import Head, Repository
from training.hub.steps import Steps

SECRET = "HF_TOKEN"
PLAN = (
    "Since July 2026 a new Space on cpu-basic needs PRO (an organisation: Team or Enterprise), "
    "paid hardware prepaid credits; --hardware zero-a10g is open to free accounts older than 30 "
    "days with a verified e-mail, for two Spaces. See https://huggingface.co/pricing."
)
_MONEY = re.compile(r"\(402|\bplan|\bPRO\b|subscri|billing|credit|hardware", re.IGNORECASE)


@dataclass(frozen=True)
class Space:
    """A Space that is there."""

    space_id: str
    private: bool
    address: str
    hardware: str
    stage: str


def find(api: HfApi, steps: Steps, space_id: str) -> Space:
    """The Space as the Hub tells of it.

    Raises:
        TrainingError: the Hub cannot be asked.
    """
    with steps.step(f"ask where {space_id} is"):
        info = api.space_info(space_id)
    subdomain = info.subdomain or space_id.replace("/", "-").lower()
    address = info.host or f"https://{subdomain}.hf.space"
    runtime = info.runtime
    hardware = str((runtime.requested_hardware or runtime.hardware or "") if runtime else "")
    stage = str(runtime.stage) if runtime else ""
    return Space(space_id, bool(info.private), address.rstrip("/"), hardware, stage)


def create(
    repository: Repository, private: bool, hardware: str, variables: Mapping[str, str]
) -> Head:
    """Makes the Space, at once on its hardware (the free one may not be allowed) and with its
    variables: it never starts without them.

    Raises:
        TrainingError: the Hub does not allow it, or cannot be asked.
    """
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
        if _MONEY.search(str(error)) and not repository.steps.done:
            raise TrainingError(f"{error} {PLAN}") from error
        raise


def variables_of(api: HfApi, steps: Steps, space_id: str) -> dict[str, str]:
    """The Space's variables.

    Raises:
        TrainingError: the Hub cannot be asked.
    """
    with steps.step(f"read the variables of {space_id}"):
        there = api.get_space_variables(space_id)
    return {name: variable.value for name, variable in there.items()}


def set_variables(
    api: HfApi, steps: Steps, space_id: str, there: Mapping[str, str], wanted: Mapping[str, str]
) -> None:
    """Sets those that differ: each one restarts a Space that runs. Revisions come first: the demo
    starts with one that belongs to nothing yet, and not with a name that has none.

    Raises:
        TrainingError: the Hub refused one, or was lost.
    """
    for name in sorted(wanted, key=lambda name: not name.endswith("_REVISION")):
        if there.get(name) != wanted[name]:
            with steps.step(f"set {name}", f"set {name}={wanted[name]}"):
                api.add_space_variable(space_id, name, wanted[name])


def has_secret(api: HfApi, steps: Steps, space_id: str) -> bool:
    """Whether the Space has a token of its own already.

    Raises:
        TrainingError: the Hub cannot be asked.
    """
    with steps.step(f"read the names of the secrets of {space_id}"):
        return SECRET in api.get_space_secrets(space_id)


def set_secret(api: HfApi, steps: Steps, space_id: str, token: str) -> None:
    """Gives the Space a token.

    Raises:
        TrainingError: the Hub refused it, or was lost.
    """
    changed = f"sent {SECRET} of this environment as a secret of the Space"
    with steps.step(f"set the secret {SECRET}", changed):
        api.add_space_secret(space_id, SECRET, token)


def request_hardware(api: HfApi, steps: Steps, space: Space, hardware: str) -> None:
    """Asks for the hardware, unless the Space has it.

    Raises:
        TrainingError: the Hub refused it, or was lost.
    """
    flavor: Any = hardware
    if hardware != space.hardware:
        with steps.step(f"request {hardware}", f"requested {hardware}"):
            api.request_space_hardware(space.space_id, flavor)


def restart(api: HfApi, steps: Steps, space_id: str) -> None:
    """Has the Space built and started once more.

    Raises:
        TrainingError: the Hub refused it, or was lost.
    """
    with steps.step(f"restart {space_id}", f"restarted {space_id}"):
        api.restart_space(space_id, factory_reboot=True)

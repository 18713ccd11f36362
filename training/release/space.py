"""A Space's settings on the Hub: hardware, variables, secrets, and where it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.errors import TrainingError
from training.release.hub import needs_payment
from training.release.repository import Head, Repository

# The name of the secret that a Space reads its own token from.
SECRET = "HF_TOKEN"
PLANS = (
    "Since July 2026 a new Space on cpu-basic needs PRO (an organisation: Team or Enterprise), "
    "paid hardware prepaid credits; --hardware zero-a10g is open to free accounts older than 30 "
    "days with a verified e-mail, for two Spaces. See https://huggingface.co/pricing."
)


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
        """Where a person looks at it."""
        return f"https://huggingface.co/spaces/{self.space_id}"


def find_space(repository: Repository) -> Space:
    """
    Raises:
        TrainingError: the Hub did not answer, as for every function here.
    """
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
    and with its variables, so that it never starts without them."""
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


def read_variables(repository: Repository) -> dict[str, str]:
    """The Space's variables."""
    with repository.steps.step(f"read the variables of {repository.repo_id}"):
        there = repository.api.get_space_variables(repository.repo_id)
    return {name: variable.value for name, variable in there.items()}


def set_variables(
    repository: Repository, there: Mapping[str, str], wanted: Mapping[str, str]
) -> None:
    """Sets those that differ: each one restarts a Space that runs. Revisions come first: the demo
    starts with a revision of no repository, and not with a repository without a revision."""
    for name in sorted(wanted, key=lambda name: not name.endswith("_REVISION")):
        if there.get(name) != wanted[name]:
            with repository.steps.step(f"set {name}", f"set {name}={wanted[name]}"):
                repository.api.add_space_variable(repository.repo_id, name, wanted[name])


def has_secret(repository: Repository) -> bool:
    """Whether the Space has a token of its own already."""
    with repository.steps.step(f"read the names of the secrets of {repository.repo_id}"):
        return SECRET in repository.api.get_space_secrets(repository.repo_id)


def set_secret(repository: Repository, token: str) -> None:
    """Gives the Space a token."""
    changed = f"sent {SECRET} of this environment as a secret of the Space"
    with repository.steps.step(f"set the secret {SECRET}", changed):
        repository.api.add_space_secret(repository.repo_id, SECRET, token)


def request_hardware(repository: Repository, space: Space, hardware: str) -> None:
    """Requests the hardware, if any is named and the Space does not have it."""
    flavor: Any = hardware
    if hardware not in ("", space.hardware):
        with repository.steps.step(f"request {hardware}", f"requested {hardware}"):
            repository.api.request_space_hardware(repository.repo_id, flavor)


def restart(repository: Repository) -> None:
    """Has the Space built and started once more."""
    space_id = repository.repo_id
    with repository.steps.step(f"restart {space_id}", f"restarted {space_id}"):
        repository.api.restart_space(space_id, factory_reboot=True)

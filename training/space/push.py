"""Makes or updates a Space: variables and hardware first, then all files in one commit.

Knows the Hub's client; must not know where the files come from or what runs afterwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from training.errors import TrainingError
from training.hub.steps import Steps, say
from training.space.files import KEPT, Files

MESSAGE = "Deployed by `python -m training deploy`"
SECRET = "HF_TOKEN"


@dataclass(frozen=True)
class Space:
    """A Space that is there, as the Hub tells of it."""

    space_id: str
    commit: str
    names: frozenset[str]
    private: bool
    address: str


def look_up(api: HfApi, steps: Steps, space_id: str) -> Space | None:
    """The Space, or None if there is none yet.

    Raises:
        TrainingError: the Hub cannot be asked.
    """
    with steps.step(f"look up the Space {space_id}"):
        try:
            info = api.space_info(space_id)
        except RepositoryNotFoundError:
            return None
    names = frozenset(file.rfilename for file in info.siblings or ())
    address = info.host or f"https://{info.subdomain}.hf.space"
    return Space(space_id, info.sha or "", names, bool(info.private), address.rstrip("/"))


def require_private(space: Space) -> None:
    """
    Raises:
        TrainingError: the Space is there and public.
    """
    if not space.private:
        raise TrainingError(
            f"{space.space_id} is public, and --private only makes new Spaces private. Change it "
            "on its settings page, or leave --private out."
        )


def create(
    api: HfApi,
    steps: Steps,
    space_id: str,
    private: bool,
    hardware: str,
    variables: Mapping[str, str],
) -> None:
    """Makes the Space, at once on its hardware (the free one may not be allowed) and with its
    variables.

    Raises:
        TrainingError: the Hub does not allow it, or cannot be asked.
    """
    # The client takes any name for a flavour.
    flavor: Any = hardware or None
    kind = "private" if private else "public"
    on = f" on {hardware}" if hardware else ""
    set_to = "".join(f", {name}={value}" for name, value in variables.items())
    made = f"created the {kind} Space {space_id}{on}{set_to}"
    with steps.step(f"create the Space {space_id}", made):
        api.create_repo(
            space_id,
            repo_type="space",
            space_sdk="gradio",
            private=private,
            space_hardware=flavor,
            space_variables=[{"key": key, "value": value} for key, value in variables.items()],
        )


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
    """Sets those that differ: each one restarts a Space that runs.

    Raises:
        TrainingError: the Hub refused one, or was lost.
    """
    for name, value in wanted.items():
        if there.get(name) != value:
            with steps.step(f"set {name}", f"set {name}={value}"):
                api.add_space_variable(space_id, name, value)


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


def request_hardware(api: HfApi, steps: Steps, space_id: str, hardware: str) -> None:
    """Asks for the hardware, unless the Space has it.

    Raises:
        TrainingError: the Hub refused it, or was lost.
    """
    flavor: Any = hardware
    with steps.step(f"read the hardware of {space_id}"):
        runtime = api.get_space_runtime(space_id)
    if hardware in (runtime.requested_hardware, runtime.hardware):
        return
    with steps.step(f"request {hardware}", f"requested {hardware}"):
        api.request_space_hardware(space_id, flavor)


def push(api: HfApi, steps: Steps, space: Space, files: Files) -> None:
    """One commit on top of what was looked up: new and changed files, and those that went away.

    Raises:
        TrainingError: the Hub refused it, was lost, or somebody else committed meanwhile.
    """
    gone = sorted(space.names - set(files) - KEPT)
    operations: list[Any] = [CommitOperationAdd(path, content) for path, content in files.items()]
    operations += [CommitOperationDelete(path, is_folder=False) for path in gone]
    for path in gone:
        say(f"no longer needed, and deleted: {path}")
    with steps.step(f"push the files to {space.space_id}", unsure=True):
        commit = api.create_commit(
            space.space_id,
            operations,
            commit_message=MESSAGE,
            repo_type="space",
            parent_commit=space.commit or None,
        )
    if commit.oid == space.commit:
        say("the Space has these files already")
    else:
        steps.add(f"pushed {len(files)} files in one commit, {commit.oid[:12]}")

"""`deploy`: this checkout and a published checkpoint to a Space on the Hub that answers."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from huggingface_hub import get_token

from training import working_tree
from training.errors import TrainingError
from training.release.hub import Steps, connect, require_token, say
from training.release.plan import SECRET, DeployOptions, advise_token, list_plan, make_plan
from training.release.repository import Repository, temporary_folder
from training.release.space import (
    FAILED,
    Change,
    ask,
    authorization_for,
    create_space,
    find_space,
    is_pending,
    wait_until_running,
)
from training.release.space_files import HARDWARE


@dataclass(frozen=True)
class Pushed:
    """What a Space was changed to."""

    change: Change
    variables: dict[str, str]


def deploy(
    space: Annotated[str, typer.Option(help="Hub id of the Space, user/name")],
    model: Annotated[str, typer.Option(help="Hub id of the checkpoint it is to run")] = "",
    model_revision: Annotated[str, typer.Option(help="commit, tag or branch; main")] = "",
    tweets_dataset: Annotated[str, typer.Option(help="the guessing game's real tweets")] = "",
    tweets_revision: Annotated[str, typer.Option(help="commit, tag or branch; main")] = "",
    counts_dataset: Annotated[str, typer.Option(help="where the game's counts are kept")] = "",
    contact: Annotated[str, typer.Option(help="https or e-mail address for reports")] = "",
    hardware: Annotated[str, typer.Option(help=f"{HARDWARE[0]}, zero-a10g, …")] = "",
    private: Annotated[
        bool, typer.Option("--private", help="if it is new, make it private")
    ] = False,
    secret_token: Annotated[
        bool, typer.Option("--secret-token", help=f"send {SECRET} as a secret of the Space")
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="do not wait for the build")] = False,
    timeout_minutes: Annotated[float, typer.Option(help="for the build; 30")] = 30.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="list everything, touch nothing")
    ] = False,
) -> None:
    """Looks up commits, sets, pushes, waits, calls; or only lists."""
    options = DeployOptions(
        space=space, model=model, model_revision=model_revision, tweets_dataset=tweets_dataset,
        tweets_revision=tweets_revision, counts_dataset=counts_dataset, contact=contact,
        hardware=hardware, private=private,
    )  # fmt: skip
    if not timeout_minutes > 0:
        raise TrainingError(f"--timeout-minutes is {timeout_minutes:g}; it must be more than 0.")
    if secret_token and not os.environ.get(SECRET):
        raise TrainingError(
            f"--secret-token sends {SECRET} of this environment, where it is not set. Set it, or "
            "leave the option out and set the secret on the Space's settings page."
        )
    api, steps = connect(), Steps()
    with steps.reported_on_failure(), temporary_folder() as folder:
        if dry_run:
            list_plan(make_plan(api, steps, options), folder, secret_token)
            return
        require_token()
        repository = Repository(space, "space", api, steps)
        pushed = _push(repository, options, folder, secret_token)
        there = find_space(repository)
        if no_wait:
            say(f"Not waited for: {there.page} shows how it gets on; then it is at {there.address}")
            return
        say(f"The Space's stages, for at most {timeout_minutes:g} minutes:")
        headers = authorization_for(there, get_token())
        wait_until_running(repository, there, pushed.change, headers, 60 * timeout_minutes)
        variables = pushed.variables
        ask(there, headers, variables.get("MODEL_ID", ""), variables.get("MODEL_REVISION", ""))
        say(f"{space} is up: {there.address} (its page: {there.page})")


def _push(
    repository: Repository, options: DeployOptions, folder: Path, sends_token: bool
) -> Pushed:
    """Everything that changes the Hub. Faults are found before the first change, and the files come
    last: a Space keeps running its old ones until then, though each setting restarts it."""
    api, steps, space_id = repository.api, repository.steps, repository.repo_id
    head = repository.look()
    if head is None:
        plan = make_plan(api, steps, options)
        plan.write(folder)
        variables = plan.options.variables()
        head = create_space(repository, options.private, options.hardware, variables)
    else:
        if options.private:
            repository.require_private(head, "leave --private out")
        there = find_space(repository)
        with steps.step(f"read the variables of {space_id}"):
            set_before = {n: v.value for n, v in api.get_space_variables(space_id).items()}
        plan = make_plan(api, steps, options, set_before, there.hardware)
        plan.write(folder)
        variables = {**set_before, **plan.options.variables()}
        if options.hardware not in ("", there.hardware):
            flavor: Any = options.hardware
            with steps.step(f"request {flavor}", f"requested {flavor}"):
                api.request_space_hardware(space_id, flavor)
        # Revisions first: the demo starts with one of no repository, and not the other way round.
        for name in sorted(variables, key=lambda name: not name.endswith("_REVISION")):
            value = variables[name]
            if set_before.get(name) != value:
                with steps.step(f"set {name}", f"set {name}={value}"):
                    api.add_space_variable(space_id, name, value)
    _send_token(repository, plan.token_needs(variables), sends_token)
    is_set = bool(steps.done)
    was_pending = is_pending(find_space(repository).stage)
    revision = working_tree.revision()
    title = f"Deployed by `python -m training deploy`{f' from {revision}' if revision else ''}"
    commit = repository.push(folder, head, title)
    is_pushed = commit != head.commit
    if not is_pushed and not is_set and find_space(repository).stage in FAILED:
        # Nothing else makes it try again.
        with steps.step(f"restart {space_id}", f"restarted {space_id}"):
            api.restart_space(space_id, factory_reboot=True)
        is_set = True
    return Pushed(Change(commit, is_pushed, is_set, is_pushed and was_pending), variables)


def _send_token(repository: Repository, needs: list[str], sends_token: bool) -> None:
    """Sends the token if that was asked for; else prints which one is needed, if one is and the
    Space has none."""
    api, steps, space_id = repository.api, repository.steps, repository.repo_id
    if sends_token:
        say(f"--secret-token: {SECRET} of this environment goes to {space_id}, where whoever may "
            "change its code can read it")  # fmt: skip
        changed = f"sent {SECRET} of this environment as a secret of the Space"
        with steps.step(f"set the secret {SECRET}", changed):
            api.add_space_secret(space_id, SECRET, os.environ[SECRET])
    elif needs:
        with steps.step(f"read the names of the secrets of {space_id}"):
            has_secret = SECRET in api.get_space_secrets(space_id)
        if not has_secret:
            advise_token(space_id, needs)

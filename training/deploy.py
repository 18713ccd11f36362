"""`deploy`: this checkout and a published checkpoint to a Space on the Hub that answers."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from huggingface_hub import get_token

from demo.checkpoints.hub import SETTINGS
from demo.settings import read_settings
from training import TrainingError, limits, working_tree
from training.command_line import flag, number
from training.release.hub import Steps, connect, require_repo_id, require_token, say
from training.release.plan import (
    SECRET,
    Request,
    advise_token,
    list_plan,
    make_plan,
)
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


def deploy(
    space: Annotated[str, typer.Option(help="Hub id of the Space, user/name")],
    model: Annotated[str, typer.Option(help="Hub id of the checkpoint it is to run")] = "",
    model_revision: Annotated[str, typer.Option(help="commit, tag or branch; main")] = "",
    tweets_dataset: Annotated[str, typer.Option(help="the guessing game's real tweets")] = "",
    tweets_revision: Annotated[str, typer.Option(help="commit, tag or branch; main")] = "",
    counts_dataset: Annotated[str, typer.Option(help="where the game's counts are kept")] = "",
    contact: Annotated[str, typer.Option(help="https or e-mail address for reports")] = "",
    hardware: Annotated[str, typer.Option(help=f"{HARDWARE[0]}, zero-a10g, …")] = "",
    private: Annotated[bool, flag("private", "if it is new, make it private")] = False,
    secret_token: Annotated[
        bool, flag("secret-token", f"send {SECRET} as a secret of the Space")
    ] = False,
    no_wait: Annotated[bool, flag("no-wait", "do not wait for the build")] = False,
    timeout_minutes: Annotated[float, number("for the build", *limits.MINUTES)] = 30.0,
    dry_run: Annotated[bool, flag("dry-run", "list everything, touch nothing")] = False,
) -> None:
    variables = {
        "MODEL_ID": model,
        "MODEL_REVISION": model_revision,
        "TWEETS_DATASET": tweets_dataset,
        "TWEETS_REVISION": tweets_revision,
        "COUNTS_DATASET": counts_dataset,
        "CONTACT": contact,
    }
    _require_possible(space, variables, hardware)
    if secret_token and not os.environ.get(SECRET):
        raise TrainingError(
            f"--secret-token sends {SECRET} of this environment, where it is not set. Set it, or "
            "leave the option out and set the secret on the Space's settings page."
        )
    given = {name: value for name, value in variables.items() if value}
    request = Request(space, given, hardware, private)
    api, steps = connect(), Steps()
    with steps.reported_on_failure(), temporary_folder() as folder:
        if dry_run:
            list_plan(request, make_plan(api, steps, request), folder, secret_token)
            return
        require_token()
        repository = Repository(space, "space", api, steps)
        change = _push(repository, request, folder, secret_token)
        there = find_space(repository)
        if no_wait:
            say(f"Not waited for: {there.page} shows how it gets on; then it is at {there.address}")
            return
        say(f"The Space's stages, for at most {timeout_minutes:g} minutes:")
        headers = authorization_for(there, get_token())
        wait_until_running(repository, there, change, headers, 60 * timeout_minutes)
        ask(there, headers, change.variables)
        say(f"{space} is up: {there.address} (its page: {there.page})")


def _require_possible(space: str, variables: Mapping[str, str], hardware: str) -> None:
    """Raises TrainingError for the first option that cannot be right."""
    require_repo_id("--space", space)
    names = {"--model": "MODEL_ID", "--tweets-dataset": "TWEETS_DATASET",
             "--counts-dataset": "COUNTS_DATASET"}  # fmt: skip
    for option, name in names.items():
        if variables[name]:
            require_repo_id(option, variables[name])
    for name, revision in SETTINGS.values():
        if variables[revision] and not variables[name]:
            option = f"--{revision.lower().replace('_', '-')}"
            raise TrainingError(f"{option} is {variables[revision]!r}, of no repository: name one.")
    if hardware and hardware not in HARDWARE:
        known = ", ".join(HARDWARE)
        raise TrainingError(f"--hardware is {hardware!r}; it must be one of {known}.")
    read_settings({"CONTACT": variables["CONTACT"]})


def _push(repository: Repository, request: Request, folder: Path, sends_token: bool) -> Change:
    """Everything that changes the Hub. Faults are found before the first change, and the files come
    last: a Space keeps running its old ones until then, though each setting restarts it."""
    api, steps, space_id = repository.api, repository.steps, repository.repo_id
    head = repository.look()
    if head is None:
        plan = make_plan(api, steps, request)
        plan.write(folder)
        repository.check_card(folder)
        variables = dict(plan.variables)
        head = create_space(repository, request.private, request.hardware, variables)
    else:
        if request.private:
            repository.require_private(head, "leave --private out")
        there = find_space(repository)
        with steps.step(f"read the variables of {space_id}"):
            set_before = {n: v.value for n, v in api.get_space_variables(space_id).items()}
        plan = make_plan(api, steps, request, set_before, there.hardware)
        plan.write(folder)
        repository.check_card(folder)
        variables = {**set_before, **plan.variables}
        if request.hardware not in ("", there.hardware):
            flavor: Any = request.hardware
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
    return Change(commit, is_pushed, is_set, is_pushed and was_pending, variables)


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

"""This checkout and a published checkpoint → a Space on the Hub that runs, and is asked.

Knows the order of the steps; `training/space/` knows each. Must not know models.
"""

import argparse
import os

from huggingface_hub import HfApi, get_token

from training import working_tree
from training.errors import TrainingError
from training.hub.client import connected, require_token
from training.hub.repository import Head, Repository
from training.hub.steps import Steps, say
from training.space import settings
from training.space.asking import ask
from training.space.front_matter import HARDWARE
from training.space.plan import Plan, advise, list_everything, pinned
from training.space.settings import SECRET
from training.space.waiting import (
    FAILED,
    Change,
    headers_for,
    is_pending,
    page,
    wait_until_it_runs,
)
from training.space.wishes import Wishes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    parser.add_argument("--space", required=True, help="Hub id of the Space, user/name")
    parser.add_argument("--model", default="", help="Hub id of the checkpoint it is to run")
    parser.add_argument("--model-revision", default="", help="commit, tag or branch; main")
    parser.add_argument("--tweets-dataset", default="", help="the guessing game's real tweets")
    parser.add_argument("--tweets-revision", default="", help="commit, tag or branch; main")
    parser.add_argument("--counts-dataset", default="", help="where the game's counts are kept")
    parser.add_argument("--contact", default="", help="https or e-mail address for reports")
    parser.add_argument("--hardware", default="", help=f"{HARDWARE[0]}, zero-a10g, …")
    parser.add_argument("--private", action="store_true", help="if it is new, make it private")
    parser.add_argument(
        "--secret-token", action="store_true", help=f"send {SECRET} as a secret of the Space"
    )
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the build")
    parser.add_argument("--timeout-minutes", type=float, default=30.0, help="for the build; 30")
    parser.add_argument("--dry-run", action="store_true", help="list everything, touch nothing")


def run(arguments: argparse.Namespace) -> int:
    """Pins, sets, pushes, waits, asks; or only lists."""
    wishes = Wishes(
        space=arguments.space,
        model=arguments.model,
        model_revision=arguments.model_revision,
        tweets_dataset=arguments.tweets_dataset,
        tweets_revision=arguments.tweets_revision,
        counts_dataset=arguments.counts_dataset,
        contact=arguments.contact,
        hardware=arguments.hardware,
        private=arguments.private,
    )
    _require_plausible(arguments)
    api, steps = connected(), Steps()
    with steps.told_at_the_end():
        if not arguments.dry_run:
            require_token()
        plan = pinned(api, steps, wishes)
        if arguments.dry_run:
            list_everything(plan, arguments.secret_token)
        else:
            _deploy(api, steps, plan, arguments)
    return 0


def _deploy(api: HfApi, steps: Steps, plan: Plan, arguments: argparse.Namespace) -> None:
    """Everything that changes the Hub. What can be wrong is found before the first change; what
    already runs goes on with its old files until the commit, though each setting restarts it."""
    # Made for what it raises: a Space that cannot be filled is not made either.
    plan.files()
    space_id = plan.wishes.space
    repository = Repository(space_id, "space", api, steps)
    head = repository.look()
    if head is None:
        wishes, there = plan.wishes, plan.variables
        head = settings.create(repository, wishes.private, wishes.hardware, there)
    else:
        there, plan = _set(api, steps, plan, repository, head)
    variables = {**there, **plan.variables}
    _send_token(api, steps, plan, variables, arguments.secret_token)
    is_set = bool(steps.done)
    was_pending = is_pending(settings.find(api, steps, space_id).stage)
    commit = repository.push(plan.files(), head, _title())
    space = settings.find(api, steps, space_id)
    if commit == head.commit and not is_set and space.stage in FAILED:
        # Nothing else makes it try again.
        settings.restart(api, steps, space_id)
        is_set = True
    if arguments.no_wait:
        say(f"Not waited for: {page(space)} shows how it gets on; then it is at {space.address}")
        return
    say(f"The Space's stages, for at most {arguments.timeout_minutes:g} minutes:")
    headers = headers_for(space, get_token())
    pushed = commit != head.commit
    change = Change(commit, pushed, is_set, pushed and was_pending)
    wait_until_it_runs(api, space, change, headers, 60 * arguments.timeout_minutes)
    ask(space, headers, variables.get("MODEL_ID", ""), variables.get("MODEL_REVISION", ""))
    say(f"{space_id} is up: {space.address} (its page: {page(space)})")


def _set(
    api: HfApi, steps: Steps, plan: Plan, repository: Repository, head: Head
) -> tuple[dict[str, str], Plan]:
    """Sets a Space that is there to what is wished; returns its variables before, and the plan with
    what it keeps."""
    space_id, hardware = plan.wishes.space, plan.wishes.hardware
    if plan.wishes.private:
        repository.require_private(head, "leave --private out")
    space = settings.find(api, steps, space_id)
    there = settings.variables_of(api, steps, space_id)
    completed = plan.completed(api, steps, there, space.hardware)
    completed.files()
    if hardware:
        settings.request_hardware(api, steps, space, hardware)
    settings.set_variables(api, steps, space_id, there, plan.variables)
    return there, completed


def _send_token(
    api: HfApi, steps: Steps, plan: Plan, variables: dict[str, str], sends_token: bool
) -> None:
    """Sends the token if that was asked for; else says which one is needed, if one is."""
    space_id, needs = plan.wishes.space, plan.needs_token(variables)
    if sends_token:
        say(f"--secret-token: {SECRET} of this environment goes to {space_id}, where whoever may "
            "change its code can read it")  # fmt: skip
        settings.set_secret(api, steps, space_id, os.environ[SECRET])
    elif needs and not settings.has_secret(api, steps, space_id):
        advise(space_id, needs)


def _title() -> str:
    revision = working_tree.revision()
    return f"Deployed by `python -m training deploy`{f' from {revision}' if revision else ''}"


def _require_plausible(arguments: argparse.Namespace) -> None:
    if not arguments.timeout_minutes > 0:
        raise TrainingError(
            f"--timeout-minutes is {arguments.timeout_minutes:g}; it must be more than 0."
        )
    if arguments.secret_token and not os.environ.get(SECRET):
        raise TrainingError(
            f"--secret-token sends {SECRET} of this environment, where it is not set. Set it, or "
            "leave the option out and set the secret on the Space's settings page."
        )

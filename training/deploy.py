"""This checkout and a published checkpoint → a Space on the Hub that runs, and is asked.

Knows the order of the steps; `training/space/` knows each. Must not know models.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, get_token

from training.errors import TrainingError
from training.hub.client import connected, require_token
from training.hub.steps import Steps, say
from training.space import push as space_push
from training.space.asking import ask
from training.space.files import README, Files, space_files, space_readme
from training.space.front_matter import HARDWARE
from training.space.pins import Pin, pin
from training.space.push import SECRET, Space
from training.space.waiting import Change, headers_for, page, wait_until_it_runs
from training.space.wishes import Wishes

ROOT = Path(__file__).parent.parent


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


def run(arguments: argparse.Namespace) -> None:
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
        if arguments.dry_run:
            list_everything(api, steps, wishes, arguments.secret_token)
        else:
            require_token()
            deploy(api, steps, wishes, arguments)


def deploy(api: HfApi, steps: Steps, wishes: Wishes, arguments: argparse.Namespace) -> None:
    """Everything that changes the Hub, in an order that leaves what was there running until the
    commit.

    Raises:
        TrainingError: a step failed.
    """
    pinned = pin_all(api, steps, wishes)
    # Whatever can be wrong with what we have is found before anything is changed.
    pinned.files()
    space = space_push.look_up(api, steps, wishes.space)
    if space is None:
        # Set as it is made: it never starts without them.
        there = pinned.variables
        space_push.create(api, steps, wishes.space, wishes.private, wishes.hardware, there)
        space = _there(space_push.look_up(api, steps, wishes.space), wishes.space)
    else:
        if wishes.private:
            space_push.require_private(space)
        if wishes.hardware:
            space_push.request_hardware(api, steps, wishes.space, wishes.hardware)
        there = space_push.variables_of(api, steps, wishes.space)
    variables = {**there, **pinned.variables}
    pinned = pinned.completed(api, steps, there)
    space_push.set_variables(api, steps, wishes.space, there, pinned.variables)
    _secret(api, steps, pinned, variables, arguments.secret_token)
    before, settings = space.commit, bool(steps.done)
    space_push.push(api, steps, space, pinned.files())
    # Its address may be new.
    space = _there(space_push.look_up(api, steps, wishes.space), wishes.space)
    if arguments.no_wait:
        say(f"Not waited for: {page(space)} shows how it gets on; then it is at {space.address}")
        return
    say(f"The Space's stages, for at most {arguments.timeout_minutes:g} minutes:")
    headers = headers_for(space, get_token())
    change = Change(files=space.commit != before, settings=settings)
    wait_until_it_runs(api, space, change, headers, 60 * arguments.timeout_minutes)
    ask(space, headers, variables.get("MODEL_ID", ""), variables.get("MODEL_REVISION", ""))
    say(f"{wishes.space} is up: {space.address} (its page: {page(space)})")


@dataclass(frozen=True)
class Pinned:
    """The wishes at commits."""

    wishes: Wishes
    model: Pin | None
    tweets: Pin | None

    @property
    def variables(self) -> dict[str, str]:
        return self.wishes.variables()

    def completed(self, api: HfApi, steps: Steps, before: Mapping[str, str]) -> "Pinned":
        """The same with the model and tweets that the Space has been set to, where none is named:
        the README must go on to name them."""
        model, tweets = self.model, self.tweets
        if model is None and before.get("MODEL_ID"):
            revision = before.get("MODEL_REVISION", "")
            model = pin(api, steps, before["MODEL_ID"], revision, "model")
        if tweets is None and before.get("TWEETS_DATASET"):
            revision = before.get("TWEETS_REVISION", "")
            tweets = pin(api, steps, before["TWEETS_DATASET"], revision, "dataset")
        return Pinned(self.wishes, model, tweets)

    def readme(self) -> tuple[str, dict[str, Any]]:
        """The README that is pushed, and its front matter."""
        # Nobody is told of a dataset that is private.
        shown = [self.tweets.repo_id] if self.tweets and not self.tweets.closed else []
        return space_readme(ROOT, self.model, shown, self.wishes.hardware)

    def files(self) -> Files:
        """All that is pushed."""
        return space_files(ROOT, self.readme()[0])

    def needs_token(self, variables: Mapping[str, str]) -> list[str]:
        """What the Space cannot do without one."""
        closed = [p.repo_id for p in (self.model, self.tweets) if p is not None and p.closed]
        reads = [f"read {name}" for name in closed]
        counts = variables.get("COUNTS_DATASET")
        return [*reads, f"write to {counts}"] if counts else reads


def pin_all(api: HfApi, steps: Steps, wishes: Wishes) -> Pinned:
    """What is named, at commits.

    Raises:
        TrainingError: something cannot be read, or the demo would not start with it.
    """
    model = tweets = None
    if wishes.model:
        model = pin(api, steps, wishes.model, wishes.model_revision, "model")
        say(f"{wishes.model} at {wishes.model_revision or 'main'} is {model.commit}")
    if wishes.tweets_dataset:
        tweets = pin(api, steps, wishes.tweets_dataset, wishes.tweets_revision, "dataset")
        say(f"{wishes.tweets_dataset} at {wishes.tweets_revision or 'main'} is {tweets.commit}")
    commits = (model.commit if model else "", tweets.commit if tweets else "")
    pinned = Pinned(wishes.pinned(*commits), model, tweets)
    # Read, so that a bad one is told before anything is done.
    _ = pinned.variables
    return pinned


def list_everything(api: HfApi, steps: Steps, wishes: Wishes, secret_token: bool) -> None:
    """What a deploy would do, as far as it can be told without looking at the Space.

    Raises:
        TrainingError: a deploy would end with it, too.
    """
    pinned = pin_all(api, steps, wishes)
    files = pinned.files()
    say(f"Space: {wishes.space}, {'private' if wishes.private else 'public'} if it is new")
    say(f"Hardware: {wishes.hardware or 'as it is; cpu-basic if the Space is new'}")
    say("Variables, others are left alone:")
    for name, value in pinned.variables.items() or {"(none)": ""}.items():
        say(f"    {name}{f'={value}' if value else ''}")
    say(f"Secrets: {f'{SECRET}, from this environment' if secret_token else 'none is sent'}")
    for line in _advice(wishes.space, pinned.needs_token(pinned.variables), secret_token):
        say(line)
    say(f"{README} begins with:")
    for line in pinned.readme()[0].split("---\n")[1].splitlines():
        say(f"    {line}")
    _list_files(files)
    say("This was a dry run: nothing was touched. Files that the Space has besides are deleted.")


def _list_files(files: Files) -> None:
    total = sum(map(len, files.values()))
    say(f"Files, {len(files)} of them, {total / 1e6:.1f} MB, in one commit:")
    for name, content in files.items():
        say(f"    {len(content):>12,}  {name}")


def _secret(
    api: HfApi, steps: Steps, pinned: Pinned, variables: Mapping[str, str], send: bool
) -> None:
    """Sends the token if that was asked for; else says which one is needed, if one is."""
    space_id = pinned.wishes.space
    if send:
        token = os.environ[SECRET]
        say(f"--secret-token: {SECRET} of this environment goes to {space_id}, where whoever may "
            "change its code can read it")  # fmt: skip
        space_push.set_secret(api, steps, space_id, token)
        return
    needs = pinned.needs_token(variables)
    if needs and not space_push.has_secret(api, steps, space_id):
        for line in _advice(space_id, needs, send):
            say(line)


def _advice(space_id: str, needs: Sequence[str], sent: bool) -> list[str]:
    if not needs or sent:
        return []
    return [
        f"The Space needs a token of its own, to {' and to '.join(needs)}. None is sent: make a "
        "fine-grained one that may do just that,",
        f"    and set it as the secret {SECRET} on "
        f"https://huggingface.co/spaces/{space_id}/settings; or say --secret-token.",
    ]


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


def _there(space: Space | None, space_id: str) -> Space:
    if space is None:
        raise TrainingError(f"{space_id} was created, but the Hub does not show it yet. Try again.")
    return space

"""What a deploy is going to do: the owner's wishes at commits, the files, and what is told of them.

Knows what follows from wishes and from what a Space is set to; must not change anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from training import working_tree
from training.errors import TrainingError
from training.hub.repository import Content, size_of
from training.hub.steps import Steps, say
from training.space.files import README, checkout_files, space_readme
from training.space.front_matter import HARDWARE
from training.space.pins import Pin, pin
from training.space.settings import SECRET
from training.space.wishes import Wishes, require_startable


@dataclass(frozen=True)
class Plan:
    """The wishes at commits, and this checkout's files."""

    wishes: Wishes
    model: Pin | None
    tweets: Pin | None
    checkout: Mapping[str, Path]

    @property
    def variables(self) -> dict[str, str]:
        """Those that are set; others are left alone."""
        return self.wishes.variables()

    def completed(
        self, api: HfApi, steps: Steps, there: Mapping[str, str], hardware: str
    ) -> "Plan":
        """The same with what the Space has been set to, where nothing else is wished: the README
        must go on to name it.

        Raises:
            TrainingError: that cannot be read any more, or the demo would not start with it.
        """
        model, tweets = self.model, self.tweets
        try:
            require_startable({**there, **self.variables})
            if model is None and there.get("MODEL_ID"):
                revision = there.get("MODEL_REVISION", "")
                model = pin(api, steps, there["MODEL_ID"], revision, "model")
            if tweets is None and there.get("TWEETS_DATASET"):
                revision = there.get("TWEETS_REVISION", "")
                tweets = pin(api, steps, there["TWEETS_DATASET"], revision, "dataset")
        except TrainingError as error:
            raise TrainingError(
                f"A variable that {self.wishes.space} has been set to will not do: {error} Give "
                "another by an option, or change it with `hf spaces variables`."
            ) from error
        # A flavour that the installed client does not know yet is not passed on.
        kept = hardware if hardware in HARDWARE else ""
        wishes = replace(self.wishes, hardware=self.wishes.hardware or kept)
        return Plan(wishes, model, tweets, self.checkout)

    def readme(self) -> tuple[str, dict[str, Any]]:
        """The README that is pushed, and its front matter."""
        # Nobody is told of a dataset that is private.
        shown = [self.tweets.repo_id] if self.tweets and not self.tweets.closed else []
        return space_readme(working_tree.ROOT, self.model, shown, self.wishes.hardware)

    def files(self) -> dict[str, Content]:
        """All that is pushed, by name.

        Raises:
            TrainingError: the Hub would not accept the README.
        """
        files: dict[str, Content] = {**self.checkout, README: self.readme()[0].encode()}
        return dict(sorted(files.items()))

    def needs_token(self, variables: Mapping[str, str]) -> list[str]:
        """What the Space cannot do without one."""
        closed = [p.repo_id for p in (self.model, self.tweets) if p is not None and p.closed]
        reads = [f"read {name}" for name in closed]
        counts = variables.get("COUNTS_DATASET")
        return [*reads, f"write to {counts}"] if counts else reads


def pinned(api: HfApi, steps: Steps, wishes: Wishes) -> Plan:
    """What is named, at commits.

    Raises:
        TrainingError: something cannot be read, or pushed, or the demo would not start with it.
    """
    model = tweets = None
    if wishes.model:
        model = pin(api, steps, wishes.model, wishes.model_revision, "model")
        say(f"{wishes.model} at {wishes.model_revision or 'main'} is {model.commit}")
    if wishes.tweets_dataset:
        tweets = pin(api, steps, wishes.tweets_dataset, wishes.tweets_revision, "dataset")
        say(f"{wishes.tweets_dataset} at {wishes.tweets_revision or 'main'} is {tweets.commit}")
    commits = (model.commit if model else "", tweets.commit if tweets else "")
    plan = Plan(wishes.pinned(*commits), model, tweets, checkout_files())
    require_startable(plan.variables)
    return plan


def list_everything(plan: Plan, sends_token: bool) -> None:
    """What a deploy would do, as far as it can be told without looking at the Space.

    Raises:
        TrainingError: a deploy would end with it, too.
    """
    files, wishes = plan.files(), plan.wishes
    say(f"Space: {wishes.space}, {'private' if wishes.private else 'public'} if it is new")
    say(f"Hardware: {wishes.hardware or 'as it is; cpu-basic if the Space is new'}")
    say("Variables, others are left alone:")
    for name, value in plan.variables.items() or {"(none)": ""}.items():
        say(f"    {name}{f'={value}' if value else ''}")
    say(f"Secrets: {f'{SECRET}, from this environment' if sends_token else 'none is sent'}")
    if not sends_token:
        advise(wishes.space, plan.needs_token(plan.variables))
    say(f"{README} begins with:")
    for line in plan.readme()[0].split("---\n")[1].splitlines():
        say(f"    {line}")
    total = sum(map(size_of, files.values()))
    say(f"Files, {len(files)} of them, {total / 1e6:.1f} MB, in one commit:")
    for name, content in files.items():
        say(f"    {size_of(content):>12,}  {name}")
    say("This was a dry run: nothing was touched. Files that the Space has besides are deleted.")


def advise(space_id: str, needs: Sequence[str]) -> None:
    """Tells the owner of a token that the Space must be given, if it needs one."""
    if needs:
        say(f"The Space needs a token of its own, to {' and to '.join(needs)}. None is sent: make "
            "a fine-grained one that may do just that,")  # fmt: skip
        page = f"https://huggingface.co/spaces/{space_id}/settings"
        say(f"    and set it as the secret {SECRET} on {page}; or say --secret-token.")

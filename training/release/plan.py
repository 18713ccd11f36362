"""What a deploy is going to do: the options it was given, repositories at commits, and files."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.utils._paths import filter_repo_objects

from demo.checkpoints.files import EXPORT_SUBFOLDER, IGNORED, NEEDED, NEEDED_OF_EXPORT
from demo.checkpoints.hub import RepoType
from demo.settings import InvalidSetting, read_settings
from training import working_tree
from training.errors import TrainingError
from training.release.checks import list_files
from training.release.hub import Steps, require_repo_id, say
from training.release.space_files import HARDWARE, README, checkout_files, render_space_readme

WEIGHTS = ".safetensors"
# The name of the secret that a Space reads its own token from.
SECRET = "HF_TOKEN"


@dataclass(frozen=True)
class DeployOptions:
    """What the command line names; empty values leave the Space as it is."""

    space: str
    model: str = ""
    model_revision: str = ""
    tweets_dataset: str = ""
    tweets_revision: str = ""
    counts_dataset: str = ""
    contact: str = ""
    hardware: str = ""
    private: bool = False

    def __post_init__(self) -> None:
        """
        Raises:
            TrainingError: for the first value that cannot be right.
        """
        names = {"--space": self.space, "--model": self.model,
                 "--tweets-dataset": self.tweets_dataset,
                 "--counts-dataset": self.counts_dataset}  # fmt: skip
        for option, name in names.items():
            if name or option == "--space":
                require_repo_id(option, name)
        for option, revision, of in (
            ("--model-revision", self.model_revision, self.model),
            ("--tweets-revision", self.tweets_revision, self.tweets_dataset),
        ):
            if revision and not of:
                raise TrainingError(f"{option} is {revision!r}, of no repository: name one.")
        if self.hardware and self.hardware not in HARDWARE:
            known = ", ".join(HARDWARE)
            raise TrainingError(f"--hardware is {self.hardware!r}; it must be one of {known}.")
        require_startable({"CONTACT": self.contact} if self.contact else {})

    def variables(self) -> dict[str, str]:
        """The Space's variables that are to be set."""
        given = {
            "MODEL_ID": self.model,
            "MODEL_REVISION": self.model_revision,
            "TWEETS_DATASET": self.tweets_dataset,
            "TWEETS_REVISION": self.tweets_revision,
            "COUNTS_DATASET": self.counts_dataset,
            "CONTACT": self.contact,
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True)
class Pin:
    """A repository at one commit, with the files that the demo reads. A `closed` one cannot be read
    without a token."""

    repo_id: str
    commit: str
    files: Sequence[str]
    closed: bool


def pin(api: HfApi, steps: Steps, repo_id: str, revision: str, repo_type: RepoType) -> Pin:
    """The commit that a branch, tag or commit names now.

    Raises:
        TrainingError: it cannot be read, or holds nothing that the demo could use.
    """
    at = f"{repo_type} {repo_id}{f' at {revision}' if revision else ''}"
    with steps.step(f"read the {at}"):
        ask: Any = api.model_info if repo_type == "model" else api.dataset_info
        info = ask(repo_id, revision=revision or "main")
    names = [file.rfilename for file in info.siblings or ()]
    if repo_type == "model":
        whole = filter_repo_objects(
            names, allow_patterns=list(NEEDED), ignore_patterns=list(IGNORED)
        )
        needed = {*whole, *(f"{EXPORT_SUBFOLDER}/{name}" for name in NEEDED_OF_EXPORT)}
        names = [name for name in names if name in needed]
        required = {
            "config.json or base.json": {"config.json", "base.json"} & set(names),
            f"*{WEIGHTS}": [name for name in names if name.endswith(WEIGHTS)],
        }
    else:
        required = {"test.parquet": {"test.parquet"} & set(names)}
    for what, found in required.items():
        if not found:
            raise TrainingError(
                f"{repo_id} holds no {what}: the demo cannot use it. Publish it anew."
            )
    return Pin(repo_id, info.sha or "", names, bool(info.private or getattr(info, "gated", False)))


def require_startable(variables: Mapping[str, str]) -> None:
    """
    Raises:
        TrainingError: the demo would not start with these variables.
    """
    try:
        read_settings(variables)
    except InvalidSetting as error:
        raise TrainingError(str(error)) from error


@dataclass(frozen=True)
class Plan:
    """The options with revisions as commits, what the Space will run, and this checkout's files by
    name."""

    options: DeployOptions
    model: Pin | None
    tweets: Pin | None
    checkout: Mapping[str, Path]

    def readme(self) -> str:
        """The README that is pushed.

        Raises:
            TrainingError: the Hub would not accept it.
        """
        preload = ""
        # The Hub builds a Space without any token.
        if self.model and not self.model.closed:
            preload = f"{self.model.repo_id} {','.join(self.model.files)} {self.model.commit}"
        return render_space_readme(
            working_tree.ROOT,
            self.model.repo_id if self.model else "",
            preload,
            # A private dataset's name stays private.
            [self.tweets.repo_id] if self.tweets and not self.tweets.closed else [],
            self.options.hardware,
        )

    def write(self, folder: Path) -> None:
        """Fills the folder with everything that is pushed.

        Raises:
            TrainingError: the Hub would not accept the README, or the disk is full.
        """
        readme = self.readme()
        try:
            for name, path in self.checkout.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / name)
            (folder / README).write_text(readme, encoding="utf-8")
        except OSError as error:
            raise TrainingError(
                f"The files to push could not be copied to {folder} ({error.strerror}). Make room "
                "there, or set TMPDIR to a folder on another disk."
            ) from error

    def token_needs(self, variables: Mapping[str, str]) -> list[str]:
        """What the Space cannot do without a token of its own."""
        closed = [p.repo_id for p in (self.model, self.tweets) if p is not None and p.closed]
        reads = [f"read {name}" for name in closed]
        counts = variables.get("COUNTS_DATASET")
        return [*reads, f"write to {counts}"] if counts else reads


def make_plan(
    api: HfApi,
    steps: Steps,
    options: DeployOptions,
    there: Mapping[str, str] = MappingProxyType({}),
    hardware: str = "",
) -> Plan:
    """Looks up the commits of what the options name, and where they name nothing, of what the
    Space's variables `there` do: the README must go on to name it.

    Raises:
        TrainingError: something cannot be read, must not be pushed, or would not start.
    """
    model = tweets = None
    if options.model:
        model = pin(api, steps, options.model, options.model_revision, "model")
        say(f"{options.model} at {options.model_revision or 'main'} is {model.commit}")
    if options.tweets_dataset:
        tweets = pin(api, steps, options.tweets_dataset, options.tweets_revision, "dataset")
        say(f"{options.tweets_dataset} at {options.tweets_revision or 'main'} is {tweets.commit}")
    # Hardware that the installed client does not know is not written into the README.
    known = hardware if hardware in HARDWARE else ""
    options = replace(
        options,
        model_revision=model.commit if model else "",
        tweets_revision=tweets.commit if tweets else "",
        hardware=options.hardware or known,
    )
    require_startable(options.variables())
    try:
        require_startable({**there, **options.variables()})
        if model is None and (name := there.get("MODEL_ID")):
            model = pin(api, steps, name, there.get("MODEL_REVISION", ""), "model")
        if tweets is None and (name := there.get("TWEETS_DATASET")):
            tweets = pin(api, steps, name, there.get("TWEETS_REVISION", ""), "dataset")
    except TrainingError as error:
        raise TrainingError(
            f"A variable that {options.space} has been set to will not do: {error} Give another by "
            "an option, or change it with `hf spaces variables`."
        ) from error
    return Plan(options, model, tweets, checkout_files())


def list_plan(plan: Plan, folder: Path, sends_token: bool) -> None:
    """Prints what a deploy would do, as far as that can be told without looking at the Space;
    `folder` is filled with the files that it would push.

    Raises:
        TrainingError: a deploy would end with it, too.
    """
    plan.write(folder)
    options, variables = plan.options, plan.options.variables()
    say(f"Space: {options.space}, {'private' if options.private else 'public'} if it is new")
    say(f"Hardware: {options.hardware or 'as it is; cpu-basic if the Space is new'}")
    say("Variables, others are left alone:")
    for name, value in variables.items() or {"(none)": ""}.items():
        say(f"    {name}{f'={value}' if value else ''}")
    say(f"Secrets: {f'{SECRET}, from this environment' if sends_token else 'none is sent'}")
    if not sends_token:
        advise_token(options.space, plan.token_needs(variables))
    say(f"{README} begins with:")
    for line in plan.readme().split("---\n")[1].splitlines():
        say(f"    {line}")
    sizes = {name: path.stat().st_size for name, path in list_files(folder).items()}
    total = sum(sizes.values()) / 1e6
    say(f"Files, {len(sizes)} of them, {total:.1f} MB, in one commit:")
    for name, size in sizes.items():
        say(f"    {size:>12,}  {name}")
    say("This was a dry run: nothing was touched. Files that the Space has besides are deleted.")


def advise_token(space_id: str, needs: Sequence[str]) -> None:
    """Prints which token the Space must be given, if it needs one."""
    if needs:
        say(f"The Space needs a token of its own, to {' and to '.join(needs)}. None is sent: make "
            "a fine-grained one that may do just that,")  # fmt: skip
        page = f"https://huggingface.co/spaces/{space_id}/settings"
        say(f"    and set it as the secret {SECRET} on {page}; or say --secret-token.")

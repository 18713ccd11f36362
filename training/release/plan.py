"""What a deploy is going to do: variables, repositories at commits, and files."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.utils._paths import filter_repo_objects

from demo.checkpoints.embedded import EMBEDDED
from demo.checkpoints.files import EXPORT_SUBFOLDER, IGNORED, NEEDED, NEEDED_OF_EXPORT, PERSONA
from demo.checkpoints.hub import SETTINGS, RepoType
from demo.settings import read_settings
from training import EXPECTED, TrainingError, working_tree
from training.files import print_persona
from training.release.checks import list_files
from training.release.hub import Steps, say
from training.release.space_files import HARDWARE, README, checkout_files, render_space_readme

# The name of the secret that a Space reads its own token from.
SECRET = "HF_TOKEN"


@dataclass(frozen=True)
class Request:
    """What the command line names: the Space, its variables, its hardware (empty: as it is), and
    whether it is made private if it is new."""

    space: str
    variables: Mapping[str, str]
    hardware: str = ""
    private: bool = False


@dataclass(frozen=True)
class Pin:
    """A repository at one commit, with the files that the demo reads. A `closed` one cannot be read
    without a token."""

    repo_id: str
    commit: str
    files: Sequence[str]
    closed: bool


def pin(api: HfApi, steps: Steps, repo_id: str, revision: str, repo_type: RepoType) -> Pin:
    """The commit that a branch, tag or commit names now. Raises TrainingError if it cannot be read,
    or holds nothing that the demo could use."""
    at = f"{repo_type} {repo_id}{f' at {revision}' if revision else ''}"
    with steps.step(f"read the {at}"):
        ask: Any = api.model_info if repo_type == "model" else api.dataset_info
        info = ask(repo_id, revision=revision or "main")
    names = [file.rfilename for file in info.siblings or ()]
    if repo_type == "model":
        read = filter_repo_objects(
            names, allow_patterns=list(NEEDED), ignore_patterns=list(IGNORED)
        )
        needed = {*read, *(f"{EXPORT_SUBFOLDER}/{name}" for name in NEEDED_OF_EXPORT)}
        names = [name for name in names if name in needed]
        lacks = "" if any(name.endswith(".safetensors") for name in names) else "*.safetensors"
        if not {"config.json", "base.json"} & set(names):
            lacks = "config.json or base.json"
    else:
        lacks = "" if "test.parquet" in names else "test.parquet"
    if lacks:
        raise TrainingError(f"{repo_id} holds no {lacks}: the demo cannot use it. Publish it anew.")
    return Pin(repo_id, info.sha or "", names, bool(info.private or getattr(info, "gated", False)))


def _say_persona(api: HfApi, steps: Steps, model: Pin | None) -> None:
    """Whose tweets the Space will imitate: as its model says, or the embedded one."""
    if model is None:
        print_persona(EMBEDDED, say)
        return
    with tempfile.TemporaryDirectory() as folder:
        if PERSONA in model.files:
            with steps.step(f"read {PERSONA} of {model.repo_id}"):
                api.hf_hub_download(model.repo_id, PERSONA, revision=model.commit, local_dir=folder)
        print_persona(Path(folder), say)


@dataclass(frozen=True)
class Plan:
    """The variables to be set, with commits as revisions; what the Space will run; the README; and
    this checkout's other files by name."""

    variables: Mapping[str, str]
    model: Pin | None
    tweets: Pin | None
    readme: str
    checkout: Mapping[str, Path]

    def write(self, folder: Path) -> None:
        """Fills the folder with everything that is pushed."""
        for name, path in self.checkout.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
        (folder / README).write_text(self.readme, encoding="utf-8")

    def token_needs(self, variables: Mapping[str, str]) -> list[str]:
        """What a Space with these variables cannot do without a token of its own."""
        closed = [p.repo_id for p in (self.model, self.tweets) if p is not None and p.closed]
        reads = [f"read {name}" for name in closed]
        counts = variables.get("COUNTS_DATASET")
        return [*reads, f"write to {counts}"] if counts else reads


def make_plan(
    api: HfApi,
    steps: Steps,
    request: Request,
    there: Mapping[str, str] = MappingProxyType({}),
    hardware: str = "",
) -> Plan:
    """Looks up the commits of what is asked for, and where that names nothing, of what the Space's
    variables `there` do: the README must go on to name it, and the Space's `hardware`. Raises
    TrainingError if something cannot be read, must not be pushed, or would not start."""
    variables = dict(request.variables)
    pins: dict[RepoType, Pin] = {}
    for kind, (name, revision) in SETTINGS.items():
        if name in variables:
            asked = variables.get(revision, "")
            pins[kind] = pin(api, steps, variables[name], asked, kind)
            variables[revision] = pins[kind].commit
            say(f"{variables[name]} at {asked or 'main'} is {pins[kind].commit}")
    # Raises InvalidSetting if the demo would not start with them.
    read_settings(variables)
    try:
        read_settings({**there, **variables})
        for kind, (name, revision) in SETTINGS.items():
            if kind not in pins and there.get(name):
                pins[kind] = pin(api, steps, there[name], there.get(revision, ""), kind)
    except EXPECTED as error:
        raise TrainingError(
            f"A variable that {request.space} has been set to will not do: {error} Give another by "
            "an option, or change it with `hf spaces variables`."
        ) from error
    model, tweets = pins.get("model"), pins.get("dataset")
    _say_persona(api, steps, model)
    # Reads README and requirements too, so that both are texts.
    checkout = checkout_files()
    readme = render_space_readme(
        working_tree.ROOT,
        model.repo_id if model else "",
        # The Hub builds a Space without any token.
        f"{model.repo_id} {','.join(model.files)} {model.commit}"
        if model and not model.closed
        else "",
        # A private dataset's name stays private.
        [tweets.repo_id] if tweets and not tweets.closed else [],
        # Hardware that the installed client does not know is not written into the README.
        request.hardware or (hardware if hardware in HARDWARE else ""),
    )
    return Plan(variables, model, tweets, readme, checkout)


def list_plan(request: Request, plan: Plan, folder: Path, sends_token: bool) -> None:
    """Prints what a deploy would do, as far as that can be told without looking at the Space;
    `folder` is filled with the files that it would push."""
    plan.write(folder)
    say(f"Space: {request.space}, {'private' if request.private else 'public'} if it is new")
    say(f"Hardware: {request.hardware or 'as it is; cpu-basic if the Space is new'}")
    say("Variables, others are left alone:")
    for line in [f"{name}={value}" for name, value in plan.variables.items()] or ["(none)"]:
        say(f"    {line}")
    say(f"Secrets: {f'{SECRET}, from this environment' if sends_token else 'none is sent'}")
    if not sends_token:
        advise_token(request.space, plan.token_needs(plan.variables))
    say(f"{README} begins with:")
    for line in plan.readme.split("---\n")[1].splitlines():
        say(f"    {line}")
    sizes = {name: path.stat().st_size for name, path in list_files(folder).items()}
    say(f"Files, {len(sizes)} of them, {sum(sizes.values()) / 1e6:.1f} MB, in one commit:")
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

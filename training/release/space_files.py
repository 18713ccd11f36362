"""The files of a Space: what of this checkout goes there, and the README with its front matter."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from huggingface_hub import RepoCard, SpaceHardware
from huggingface_hub.utils._fixes import yaml_dump
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from demo.checkpoints.embedded import EMBEDDED
from training import TrainingError, working_tree
from training.release.checks import KnownTweets, require_safe

SINGLE = ("app.py", "requirements.txt", "LICENSE")
FOLDERS = ("demo", EMBEDDED.name)
README = "README.md"
HARDWARE = tuple(flavor.value for flavor in SpaceHardware)
_LOCAL_LINK = re.compile(r"!?\[([^\]]*)\]\((?![a-z]+:|#)([^)]+)\)")

Color = Literal["red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"]
_EMOJI = "^[^\\x00-\\x{ff}][\u200d\ufe0f\U0001f3fb-\U0001faff]*$"


class FrontMatter(BaseModel):
    """What the Hub's reference allows for a Gradio Space. Checked here because the Hub ignores some
    wrong values. Strict: an unquoted version, 3.10, is the number 3.1."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: str
    emoji: Annotated[str, Field(pattern=_EMOJI)]
    colorFrom: Color
    colorTo: Color
    sdk: Literal["gradio"]
    sdk_version: str
    python_version: Annotated[str, Field(pattern=r"^3\.\d+(\.\d+)?$")]
    app_file: Literal["app.py"]
    short_description: Annotated[str, Field(max_length=60)]
    license: str = ""
    tags: list[str] = []
    models: list[str] = []
    datasets: list[str] = []
    preload_from_hub: list[str] = []
    suggested_hardware: Annotated[SpaceHardware, Field(strict=False)] = SpaceHardware.CPU_BASIC
    startup_duration_timeout: Annotated[str, Field(pattern=r"^\d+[smh]$")] = ""
    pinned: bool = False
    thumbnail: str = ""
    header: Literal["default", "mini"] = "default"
    fullWidth: bool = False
    # Otherwise its embeds stay empty.
    disable_embedding: Literal[False] = False


def checkout_files() -> dict[str, Path]:
    """The files of this checkout that go into the Space, by name, except the README. Raises
    TrainingError if something that does not belong there lies among them, is missing, or must not
    be published."""
    root = working_tree.ROOT
    paths = {name: root / name for name in working_tree.files([*SINGLE, *FOLDERS])}
    for wanted in (*SINGLE, *FOLDERS):
        if not any(name == wanted or name.startswith(f"{wanted}/") for name in paths):
            raise TrainingError(f"{wanted} is no part of this checkout, and no Space runs without.")
    for name, path in paths.items():
        if not name.isprintable():
            raise TrainingError(f"{ascii(name)} is no name that the Hub takes: rename that file.")
        if path.is_symlink():
            raise TrainingError(f"{name} is a link, and a Space takes files alone: replace it.")
    require_safe({**paths, README: root / README}, tweets=None)
    # Not the code: it holds no tweets, and an index of tweets would some day match a line of it.
    weights = {name: path for name, path in paths.items() if EMBEDDED in path.parents}
    require_safe(weights, KnownTweets.by_index(EMBEDDED))
    return paths


def render_space_readme(
    root: Path, model: str, preload: str, datasets: Sequence[str], hardware: str
) -> str:
    """The README that is pushed. `model` is the Hub id of the checkpoint that the Space runs, and
    `preload` what the Hub fetches while it builds the Space; empty values are left out. Raises
    TrainingError if the Hub would not accept it."""
    values, body = split_front_matter((root / README).read_text(encoding="utf-8"))
    given: dict[str, Any] = {
        "models": [model] if model else None,
        "preload_from_hub": [preload] if preload else None,
        "datasets": list(datasets),
        "suggested_hardware": hardware,
    }
    values |= {name: value for name, value in given.items() if value}
    _require_accepted(values, (root / "requirements.txt").read_text(encoding="utf-8"))
    return f"---\n{yaml_dump(values, sort_keys=False, width=1_000)}---\n{_drop_dead_links(body)}"


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """The front matter's values, and the text below it. Raises TrainingError if there is none, or
    it is not YAML."""
    if not text.startswith("---\n"):
        raise TrainingError(
            "README.md has no front matter: begin it with a block between --- lines."
        )
    try:
        card = RepoCard(text)
    # Errors of the YAML parser, whose types RepoCard does not document.
    except Exception as error:
        first = str(error).splitlines()[0]
        raise TrainingError(f"README.md's front matter is no YAML: {first}. Correct it.") from error
    return dict(vars(card.data)), card.text


def _require_accepted(values: dict[str, Any], requirements: str) -> None:
    try:
        front_matter = FrontMatter.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0])
        found = f", not {values[name]!r}" if name in values else ""
        raise TrainingError(f"README.md's front matter, {name}: {fault['msg']}{found}.") from error
    pinned = re.search(r"^gradio(?:\[[\w,]*\])?==(\S+)", requirements, re.MULTILINE)
    version = pinned[1] if pinned else "none"
    if version != front_matter.sdk_version:
        raise TrainingError(
            f"README.md's front matter: sdk_version is {front_matter.sdk_version!r}, and "
            f"requirements.txt pins gradio to {version}. Make them equal."
        )


def _drop_dead_links(body: str) -> str:
    """The text with links to files and pictures that the Space does not have as their words."""

    def replace(link: re.Match[str]) -> str:
        return link[0] if link[2].split("/")[0] in (*SINGLE, *FOLDERS) else link[1]

    return _LOCAL_LINK.sub(replace, body)

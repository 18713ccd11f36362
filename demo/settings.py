"""Every environment variable the demo reads, typed, in one place.

Knows names, defaults and limits; must not act on any of them. The README's table of
settings is rendered from `VARIABLES` by `python -m demo.settings`.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from demo.generation.engine import EngineName


class InvalidSetting(ValueError):
    """An environment variable that cannot be used; the message names it and its limit."""


@dataclass(frozen=True)
class Variable:
    """One environment variable: `default` is what an unset one means."""

    name: str
    default: str
    help: str


VARIABLES = (
    Variable("MODEL_ID", "", "Hub id of the checkpoint (`user/name`); empty: `CHECKPOINT`, else the embedded one"),
    Variable("MODEL_REVISION", "", "the commit of `MODEL_ID`, 40 hexadecimal digits; required with it"),
    Variable("CHECKPOINT", "", "a checkpoint folder; `MODEL_ID` wins over it"),
    Variable("BASE_FILE", "", "the embedded checkpoint's base file, if it is already on this machine"),
    Variable("CACHE_DIR", "~/.cache/trump-or-computer-dump", "where the base file, merged checkpoints and exports are kept"),
    Variable("ENGINE", "auto", "`auto` (transformers on a GPU, OpenVINO on a CPU where it can run the checkpoint, else transformers), `openvino` or `transformers`"),
    Variable("DEVICE", "auto", "`auto`, `cpu` or `cuda`"),
    Variable("EXACT", "0", "`1`: OpenVINO's exact settings for every checkpoint, so that a seed gives the same text whoever else is served; the embedded one always runs in them"),
    Variable("SLOTS", "16", "texts that OpenVINO writes at the same time, 1 to 64"),
    Variable("GRADIO_SERVER_NAME", "127.0.0.1", "address to listen on; `0.0.0.0` on a Space"),
    Variable("GRADIO_SERVER_PORT", "7860", "port to listen on, 1 to 65535"),
    Variable("QUEUE_SIZE", "64", "visitors that may wait; one more is told to come back, 1 to 1000"),
    Variable("DEADLINE_SECONDS", "120", "longest time one text may take, 1 to 3600"),
    Variable("CONTACT", "", "where visitors report a text or a fault: an https address or an e-mail address; empty: the Space's discussions"),
    Variable("MAX_BODY_BYTES", "65536", "largest request body, 1024 to 10485760"),
    Variable("TWEETS", "", "folder that `training prepare` wrote: the guessing game takes its real tweets from its test split; empty: `TWEETS_DATASET`, else no game"),
    Variable("TWEETS_DATASET", "", "Hub id of a dataset that holds such a folder's files; it wins over `TWEETS`"),
    Variable("TWEETS_REVISION", "", "the commit of `TWEETS_DATASET`, 40 hexadecimal digits; required with it"),
    Variable("COUNTS_DATASET", "", "Hub id of a dataset, made (private) if it is not there, in which the game's counts outlive a restart; `HF_TOKEN` must be able to write to it; empty: they are kept in memory"),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """The demo's settings; see `VARIABLES` for what each means."""

    model_id: str
    model_revision: str
    checkpoint: Path | None
    base_file: Path | None
    cache_dir: Path
    engine: EngineName
    device: str
    exact: bool
    slots: int
    server_name: str
    server_port: int
    queue_size: int
    deadline_seconds: int
    max_body_bytes: int
    contact: str
    tweets: Path | None
    tweets_dataset: str
    tweets_revision: str
    counts_dataset: str
    on_spaces: bool
    space_id: str
    zero_gpu: bool


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Reads and checks every variable.

    Raises:
        InvalidSetting: for the first one that cannot be used.
    """
    values = {v.name: environ.get(v.name, "").strip() or v.default for v in VARIABLES}
    on_spaces = environ.get("SYSTEM") == "spaces"
    if on_spaces and not environ.get("GRADIO_SERVER_NAME"):
        values["GRADIO_SERVER_NAME"] = "0.0.0.0"
    engine: EngineName = _one_of(values, "ENGINE", get_args(EngineName))
    device = _one_of(values, "DEVICE", ("auto", "cpu", "cuda"))
    if (engine, device) == ("openvino", "cuda"):
        raise InvalidSetting("ENGINE is 'openvino', which runs on a CPU; DEVICE must not be cuda.")
    return Settings(
        model_id=values["MODEL_ID"],
        model_revision=_revision(values, "MODEL_ID", "MODEL_REVISION"),
        checkpoint=_path(values["CHECKPOINT"]),
        base_file=_path(values["BASE_FILE"]),
        cache_dir=Path(values["CACHE_DIR"]).expanduser(),
        engine=engine,
        device=device,
        exact=_one_of(values, "EXACT", ("0", "1")) == "1",
        slots=_whole(values, "SLOTS", 1, 64),
        server_name=values["GRADIO_SERVER_NAME"],
        server_port=_whole(values, "GRADIO_SERVER_PORT", 1, 65_535),
        queue_size=_whole(values, "QUEUE_SIZE", 1, 1_000),
        deadline_seconds=_whole(values, "DEADLINE_SECONDS", 1, 3_600),
        max_body_bytes=_whole(values, "MAX_BODY_BYTES", 1_024, 10_485_760),
        contact=_contact(values["CONTACT"]),
        tweets=_path(values["TWEETS"]),
        tweets_dataset=_dataset(values, "TWEETS_DATASET"),
        tweets_revision=_revision(values, "TWEETS_DATASET", "TWEETS_REVISION"),
        counts_dataset=_dataset(values, "COUNTS_DATASET"),
        on_spaces=on_spaces,
        space_id=environ.get("SPACE_ID", "") if on_spaces else "",
        # As the package `spaces` reads it.
        zero_gpu=environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true"),
    )


def settings_table() -> str:
    """The README's table of settings, in Markdown."""
    rows = [
        f"| `{v.name}` | {f'`{v.default}`' if v.default else ''} | {v.help} |" for v in VARIABLES
    ]
    return "\n".join(["| variable | default | what it does |", "|---|---|---|", *rows])


def _path(value: str) -> Path | None:
    return Path(value).expanduser() if value else None


def _one_of(values: Mapping[str, str], name: str, choices: Sequence[str]) -> Any:
    """The value, as the literal type of its choices."""
    if values[name] not in choices:
        listed = ", ".join(choices[:-1])
        raise InvalidSetting(f"{name} is {values[name]!r}; it must be {listed} or {choices[-1]}.")
    return values[name]


def _dataset(values: Mapping[str, str], name: str) -> str:
    if values[name] and not re.fullmatch(r"[\w.-]+/[\w.-]+", values[name], re.ASCII):
        raise InvalidSetting(f"{name} is {values[name]!r}; it must look like user/name.")
    return values[name]


def _revision(values: Mapping[str, str], repository: str, name: str) -> str:
    revision = values[name].lower()
    if not values[repository]:
        return ""
    if len(revision) != 40 or set(revision) - set("0123456789abcdef"):
        raise InvalidSetting(
            f"{name} must be the 40 hexadecimal digits of a commit when {repository} is set, "
            f"not {values[name]!r}: a branch or tag could change under a running demo."
        )
    return revision


def _contact(value: str) -> str:
    if value and not re.fullmatch(r"https://[^\s/]+\S*|[^@\s/]+@[^@\s/]+", value):
        raise InvalidSetting(
            f"CONTACT is {value!r}; it must be an https address or an e-mail address."
        )
    return value


def _whole(values: Mapping[str, str], name: str, minimum: int, maximum: int) -> int:
    try:
        number = int(values[name])
    except ValueError:
        raise InvalidSetting(f"{name} is {values[name]!r}; it must be a whole number.") from None
    if not minimum <= number <= maximum:
        raise InvalidSetting(f"{name} is {number}; it must be from {minimum} to {maximum}.")
    return number


if __name__ == "__main__":
    print(settings_table())

"""Every environment variable the demo reads: one table, with types, limits and help."""

import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from limits import RateLimitItem, parse_many

from demo.log import Format

EngineName = Literal["auto", "openvino", "transformers", "remote"]
# Which variant of the completions API a server speaks; "auto" goes by what it calls itself.
ServerKind = Literal["auto", "vllm", "sglang", "llama-server"]
Rate = Sequence[RateLimitItem]


class InvalidSetting(ValueError):
    """An environment variable that cannot be used; the message names it and its limit."""


class CannotListen(InvalidSetting):
    """The address or port cannot be used; the message says which and what to do."""


@dataclass(frozen=True)
class Variable:
    """One environment variable. `default` is what an unset one means; `parse` takes the text and
    raises ValueError with the end of a sentence that begins with the variable's name."""

    name: str
    default: str
    help: str
    parse: Callable[[str], Any]


def _variable(name: str, default: str, help: str, parse: Callable[[str], Any] = str) -> Any:
    return field(metadata={"variable": Variable(name, default, help, parse)})


def _number(name: str, default: int, minimum: int, maximum: int, help: str) -> Any:
    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"is {value!r}; it must be a whole number.") from None
        if not minimum <= number <= maximum:
            raise ValueError(f"is {number}; it must be from {minimum} to {maximum}.")
        return number

    return _variable(name, str(default), f"{help}, {minimum} to {maximum}", parse)


def _choice(name: str, **choices: str) -> Any:
    """One of several names, each with an explanation or none; the first is the default."""

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"is {value!r}; it must be {_listed(list(choices))}.")
        return value

    shown = [f"`{choice}`{f' ({why})' if why else ''}" for choice, why in choices.items()]
    return _variable(name, next(iter(choices)), _listed(shown), parse)


def _switch(value: str) -> bool:
    if value not in ("0", "1"):
        raise ValueError(f"is {value!r}; it must be 0 or 1.")
    return value == "1"


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _path(value: str) -> Path | None:
    return Path(value).expanduser() if value else None


def _matching(pattern: str, sentence: str) -> Callable[[str], str]:
    """Takes what the pattern matches, or nothing. `{!r}` in the sentence is for the value: secrets
    have none, since they must not reach a log."""

    def parse(value: str) -> str:
        if value and not re.fullmatch(pattern, value):
            raise ValueError(sentence.format(value))
        return value

    return parse


_repository = _matching(r"(?a)[\w.-]+/[\w.-]+", "is {!r}; it must look like user/name.")
_root_path = _matching(
    r"(?a)(https?://[\w.:\[\]-]+)?(/[\w.~-]+)*/?",
    "is {!r}; it must be a path such as /demo, or a whole address.",
)
_contact = _matching(
    r"https://[^\s/]+\S*|[^@\s/]+@[^@\s/]+",
    "is {!r}; it must be an https address or an e-mail address.",
)
_address = _matching(
    r"(?a)https?://([\w.-]+|\[[\da-fA-F:]+\])(:\d{1,5})?(/[\w./-]*)?",
    "is {!r}; it must look like http://10.0.0.5:8000/v1.",
)
_key = _matching(
    "[!-~]{1,2000}", "must be at most 2,000 printable ASCII characters without spaces."
)
_model = _matching("[ -~]{1,200}", "is {!r}; it must be at most 200 printable ASCII characters.")
_token = _matching("[!-~]{16,200}", "must be 16 to 200 printable ASCII characters without spaces.")


def _server(value: str) -> str:
    if "@" in value:
        # Not the value: a secret must not reach a log.
        raise ValueError("must not hold a name or password; ENGINE_KEY is for secrets.")
    return _address(value)


def _rate(value: str) -> Rate:
    """One or more limits as the library `limits` writes them: "120/minute", "5/second; 60/hour"."""
    try:
        return parse_many(value)
    except ValueError:
        raise ValueError(
            f'is {value!r}; it must be a rate such as 120/minute or "5/second; 60/minute".'
        ) from None


@dataclass(frozen=True)
class Settings:
    """The demo's settings, and the table of its variables."""

    # Set by the Hub, not by an owner.
    space_id: str
    zero_gpu: bool

    # fmt: off
    model_id: str = _variable("MODEL_ID", "", "Hub id of the checkpoint (`user/name`); empty: `CHECKPOINT`, else the embedded one")
    model_revision: str = _variable("MODEL_REVISION", "", "the commit of `MODEL_ID`, 40 hexadecimal digits; required with it")
    checkpoint: Path | None = _variable("CHECKPOINT", "", "a checkpoint folder; `MODEL_ID` wins over it", _path)
    base_file: Path | None = _variable("BASE_FILE", "", "the embedded checkpoint's base file, if it is already on this machine", _path)
    cache_dir: Path = _variable("CACHE_DIR", "~/.cache/trump-or-computer-dump", "where the base file, merged checkpoints and exports are kept", _path)
    engine: EngineName = _choice("ENGINE", auto="transformers on a GPU, OpenVINO on a CPU where it can run the checkpoint, else transformers", openvino="", transformers="", remote="a completions server elsewhere, at `ENGINE_URL`")
    engine_url: str = _variable("ENGINE_URL", "", "address of the completions server, as OpenAI's clients take it: `http://10.0.0.5:8000/v1`; required with `ENGINE=remote` ([which servers](scaling.md))", _server)
    engine_key: str = _variable("ENGINE_KEY", "", "secret that the completions server asks for (`Authorization: Bearer …`); of our own completions server, the one it asks for", _key)
    engine_model: str = _variable("ENGINE_MODEL", "", "the completions server's name of the model; empty: its only one", _model)
    engine_kind: ServerKind = _choice("ENGINE_KIND", auto="by what the completions server calls itself", vllm="and what imitates it", sglang="", **{"llama-server": ""})
    device: str = _choice("DEVICE", auto="", cpu="", cuda="")
    slots: int = _number("SLOTS", 18, 1, 512, "texts that OpenVINO writes at the same time, or that a completions server is asked for; one in eight is kept for visitors who have none under way")
    server_name: str = _variable("GRADIO_SERVER_NAME", "127.0.0.1", "address to listen on; `0.0.0.0` on a Space")
    server_port: int = _number("GRADIO_SERVER_PORT", 7_860, 1, 65_535, "port to listen on")
    root_path: str = _variable("GRADIO_ROOT_PATH", "", "path under which a proxy serves the demo, such as `/demo`, or the whole address ([how](owner.md#behind-a-proxy))", _root_path)
    queue_size: int = _number("QUEUE_SIZE", 80, 1, 1_000, "calls for texts that may wait or be written; one more is told when to come back")
    visitor_queue: int = _number("VISITOR_QUEUE", 60, 1, 1_000, "the same for one visitor, who is an IPv4 address or a /64 network")
    rate_texts: Rate = _variable("RATE_TEXTS", "120/minute", "texts that one visitor may ask for: one or more rates, such as `5/second; 60/minute`", _rate)
    rate_calls: Rate = _variable("RATE_CALLS", "40/second; 1200/minute", "the same for every other request: pages, calls of each endpoint, their answers, `/count`", _rate)
    rate_rounds: Rate = _variable("RATE_ROUNDS", "90/minute", "the same for rounds of the guessing game", _rate)
    rate_parts: Rate = _variable("RATE_PARTS", "400/second", "the same for a page's scripts, styles and fonts, of which a first visit loads about 60", _rate)
    rate_all: int = _number("RATE_ALL", 10, 1, 1_000, "the limit of all visitors together, as a multiple of one visitor's")
    trusted_proxies: int = _number("TRUSTED_PROXIES", 0, 0, 10, "proxies before this server that append to X-Forwarded-For; 1 on a Space")
    deadline_seconds: int = _number("DEADLINE_SECONDS", 120, 1, 3_600, "longest time one text may take")
    stop_seconds: int = _number("STOP_SECONDS", 10, 0, 300, "how long texts under way may go on once the demo is told to stop")
    contact: str = _variable("CONTACT", "", "where visitors report a text or a fault: an https address or an e-mail address; empty: the Space's discussions", _contact)
    max_body_bytes: int = _number("MAX_BODY_BYTES", 65_536, 1_024, 10_485_760, "largest request body")
    mask_slurs: bool = _variable("MASK_SLURS", "1", "`0`: a few slurs are shown as they are; else their inner letters are asterisks ([which](owner.md#words-that-are-masked))", _switch)
    metrics_token: str = _variable("METRICS_TOKEN", "", "secret that a request of `/metrics` must carry, 16 to 200 printable characters; empty: there is no such page", _token)
    log_format: Format = _choice("LOG_FORMAT", text="", json="one object a line")
    tweets: Path | None = _variable("TWEETS", "", "folder that `training prepare` wrote: the guessing game takes its real tweets from its test split; empty: `TWEETS_DATASET`, else no game", _path)
    tweets_dataset: str = _variable("TWEETS_DATASET", "", "Hub id of a dataset that holds such a folder's files; it wins over `TWEETS`", _repository)
    tweets_revision: str = _variable("TWEETS_REVISION", "", "the commit of `TWEETS_DATASET`, 40 hexadecimal digits; required with it")
    counts_dataset: str = _variable("COUNTS_DATASET", "", "Hub id of a dataset, made (private) if it is not there, in which the game's counts outlive a restart; `HF_TOKEN` must be able to write to it; empty: they are kept in memory", _repository)
    # fmt: on

    def require_free_port(self) -> None:
        """Finds out before minutes of loading what launching would find out after them. Raises
        CannotListen."""
        try:
            socket.create_server((self.server_name, self.server_port)).close()
        except OSError as error:
            raise CannotListen(
                f"Cannot listen on {self.server_name}:{self.server_port} ({error.strerror}). "
                "Stop what listens there, or set GRADIO_SERVER_NAME or GRADIO_SERVER_PORT."
            ) from error


_FIELDS = {one.name: one.metadata["variable"] for one in fields(Settings) if one.metadata}
VARIABLES: tuple[Variable, ...] = tuple(_FIELDS.values())


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Reads and checks every variable. Raises InvalidSetting for the first that cannot be used."""
    on_spaces = environ.get("SYSTEM") == "spaces"
    values: dict[str, Any] = {}
    for name, variable in _FIELDS.items():
        try:
            values[name] = variable.parse(
                environ.get(variable.name, "").strip() or variable.default
            )
        except ValueError as error:
            raise InvalidSetting(f"{variable.name} {error}") from None
    if on_spaces and not environ.get("GRADIO_SERVER_NAME"):
        values["server_name"] = "0.0.0.0"
    if on_spaces and not environ.get("TRUSTED_PROXIES"):
        values["trusted_proxies"] = 1
    if (values["engine"], values["device"]) == ("openvino", "cuda"):
        raise InvalidSetting("ENGINE is 'openvino', which runs on a CPU; DEVICE must not be cuda.")
    if (values["engine"] == "remote") != bool(values["engine_url"]):
        raise InvalidSetting(
            f"ENGINE is {values['engine']!r} and ENGINE_URL {values['engine_url']!r}: a completions "
            "server elsewhere takes ENGINE=remote and its address."
        )
    for name in ("root_path", "engine_url"):
        values[name] = values[name].rstrip("/")
    for repository, revision in (
        ("model_id", "model_revision"),
        ("tweets_dataset", "tweets_revision"),
    ):
        values[revision] = _commit(values, repository, revision)
    return Settings(
        space_id=environ.get("SPACE_ID", "") if on_spaces else "",
        # As the package `spaces` reads it.
        zero_gpu=environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true"),
        **values,
    )


def settings_table() -> str:
    """The table of docs/settings.md, in Markdown."""
    rows = [
        f"| `{v.name}` | {f'`{v.default}`' if v.default else ''} | {v.help} |" for v in VARIABLES
    ]
    return "\n".join(["| variable | default | what it does |", "|---|---|---|", *rows])


def _commit(values: Mapping[str, str], repository: str, revision: str) -> str:
    """The revision of a repository; empty if no repository is named."""
    commit = values[revision].lower()
    if values[repository] and not re.fullmatch("[0-9a-f]{40}", commit):
        raise InvalidSetting(
            f"{revision.upper()} must be the 40 hexadecimal digits of a commit when "
            f"{repository.upper()} is set, not {values[revision]!r}: a branch or tag could change "
            "under a running demo."
        )
    return commit if values[repository] else ""


if __name__ == "__main__":
    print(settings_table())

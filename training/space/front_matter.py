"""A Space's README: its front matter read, held against what the Hub accepts, and written.

Knows the Hub's configuration reference; must not know the Hub's client.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import yaml
from huggingface_hub import SpaceHardware

from training.errors import TrainingError

COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
HARDWARE = tuple(flavor.value for flavor in SpaceHardware)
MAX_SHORT_DESCRIPTION = 60

Values = Mapping[str, Any]


def split_readme(text: str) -> tuple[dict[str, Any], str]:
    """The front matter's values, and what stands below it.

    Raises:
        TrainingError: there is none, or it is no YAML.
    """
    parts = text.split("---\n", 2)
    if len(parts) < 3 or parts[0]:
        raise TrainingError(
            "README.md has no front matter: begin it with a block between --- lines."
        )
    try:
        values = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0]
        raise TrainingError(f"README.md's front matter is no YAML: {first}. Correct it.") from error
    if not isinstance(values, dict):
        raise TrainingError("README.md's front matter holds no names with values. Correct it.")
    return values, parts[2]


def join_readme(values: Values, body: str) -> str:
    """The whole README again."""
    block = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=1_000)
    return f"---\n{block}---\n{body}"


def require_accepted(values: Values, files: Collection[str], requirements: str) -> None:
    """Holds front matter against the reference, before the Hub does or, worse, does not.

    Raises:
        TrainingError: for the first value that is wrong or missing.
    """
    for name in _REQUIRED:
        if name not in values:
            raise TrainingError(f"README.md's front matter lacks {name}. Add it.")
    for name, value in values.items():
        if name not in _RULES:
            known = ", ".join(_RULES)
            raise TrainingError(
                f"README.md's front matter has {name}, which a Gradio Space does not take. "
                f"Remove it; known are {known}."
            )
        accepts, rule = _RULES[name]
        if not accepts(value):
            raise TrainingError(
                f"README.md's front matter: {name} is {value!r}; it must be {rule}."
            )
    if values["app_file"] not in files:
        raise TrainingError(
            f"README.md's front matter: app_file is {values['app_file']!r}, which is not pushed."
        )
    pinned = re.search(r"^gradio(?:\[[\w,]*\])?==(\S+)", requirements, re.MULTILINE)
    version = pinned[1] if pinned else "none"
    if version != values["sdk_version"]:
        raise TrainingError(
            f"README.md's front matter: sdk_version is {values['sdk_version']!r}, and "
            f"requirements.txt pins gradio to {version}. Make them equal."
        )


def _matches(pattern: str) -> Callable[[Any], bool]:
    """Of strings alone: an unquoted 3.10 is a number, and 3.1."""
    return lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value))


def _one_of(choices: Sequence[str]) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in choices, f"one of {', '.join(choices)}"


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


_FLAG = (_is_flag, "true or false")
_LIST = (_is_list, "a list of texts")
_TEXT = (_matches(r"\S.*"), "a text")
_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "title": _TEXT,
    "emoji": (_matches(r"[^\x00-\xff][\u200d\ufe0f\U0001f3fb-\U0001faff]*"), "one emoji"),
    "colorFrom": _one_of(COLORS),
    "colorTo": _one_of(COLORS),
    "sdk": _one_of(("gradio",)),
    "sdk_version": (_matches(r"\d+\.\d+\.\d+"), "a version like 6.31.0"),
    "python_version": (_matches(r"3\.\d+(\.\d+)?"), 'a version in quotes, like "3.12"'),
    "app_file": _TEXT,
    "license": (_matches(r"[a-z0-9.-]+"), "a license's identifier"),
    "short_description": (
        _matches(rf".{{1,{MAX_SHORT_DESCRIPTION}}}"),
        f"a line of at most {MAX_SHORT_DESCRIPTION} characters",
    ),
    "tags": _LIST,
    "models": _LIST,
    "datasets": _LIST,
    "preload_from_hub": (
        lambda value: (
            _is_list(value)
            and all(re.fullmatch(r"[\w.-]+/[\w.-]+( \S+){0,2}", item) for item in value)
        ),
        '"user/name files,with,commas commit" lines',
    ),
    "suggested_hardware": _one_of(HARDWARE),
    "startup_duration_timeout": (_matches(r"\d+[smh]"), "a time like 30m"),
    "pinned": _FLAG,
    "thumbnail": (_matches(r"https://\S+"), "an https address"),
    "header": _one_of(("default", "mini")),
    "fullWidth": _FLAG,
    # An embed is what this Space is for.
    "disable_embedding": (lambda value: value is False, "false, or its embeds stay empty"),
}
_REQUIRED = ("title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version",
             "app_file", "short_description")  # fmt: skip

"""Does a file hold something shaped like a token of the Hub, plain, escaped or in wide characters?

Knows what tokens look like; must not know any.
"""

import json
import mmap
import re
from pathlib import Path

from training.errors import TrainingError

# No word boundary before them: they may follow an escape. Several, since a pattern that begins with
# fixed letters is looked for forty times as fast.
_TOKENS = (
    re.compile(rb"hf_(?:oauth_[A-Za-z0-9._-]{30,}|[A-Za-z0-9]{30,})"),
    re.compile(rb"api_org_[A-Za-z0-9]{30,}"),
    re.compile(rb"h\0f\0_\0(?:[A-Za-z0-9]\0){30,}"),
)


def require_no_token(path: Path, name: str) -> None:
    """
    Raises:
        TrainingError: there is one in it.
        OSError: it cannot be read.
    """
    if path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = _has_token(content)
    if found or (path.suffix == ".json" and _has_token(_unescaped(path))):
        raise TrainingError(
            f"{name} holds something shaped like a token of the Hub (hf_…), and is not published: "
            "take it out, and if it is one, revoke it at huggingface.co/settings/tokens."
        )


def _has_token(content: bytes | mmap.mmap) -> bool:
    return any(token.search(content) for token in _TOKENS)


def _unescaped(path: Path) -> bytes:
    """A JSON file as it is meant; nothing of one that is none."""
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return b""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")

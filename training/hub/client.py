"""The Hub's client, with patience that ends, and a token that is known to be there.

Knows huggingface_hub; must not know what is asked of it.
"""

import logging
import re
from typing import Any

from huggingface_hub import HfApi, get_token, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from training.errors import TrainingError

# Of a connection on which nothing moves; the client itself would wait for ever.
REQUEST_TIMEOUT_SECONDS = 60.0
WAITS = ("connect", "read", "write", "pool")
TOKENS_PAGE = "https://huggingface.co/settings/tokens"


def connected() -> HfApi:
    """The client. Its token is that of HF_TOKEN or `hf auth login`."""
    set_client_factory(_patient_client)
    # It warns where nothing has changed, which we say ourselves; that it waits and tries again, as
    # after a 429, is another logger's to tell.
    logging.getLogger("huggingface_hub.hf_api").setLevel(logging.ERROR)
    return HfApi()


def require_token() -> None:
    """Finds out before the work that nobody is logged in.

    Raises:
        TrainingError: there is no token.
    """
    token = get_token()
    if not token:
        raise TrainingError(
            f"There is no token. Make one with the role write at {TOKENS_PAGE}, then set HF_TOKEN "
            "to it or run `hf auth login`. (--dry-run needs none.)"
        )
    if not (token.isascii() and token.isprintable()):
        raise TrainingError(
            "The token holds a character that no token has. Set HF_TOKEN to exactly what "
            f"{TOKENS_PAGE} showed."
        )


def require_name(option: str, name: str) -> None:
    """
    Raises:
        TrainingError: that is no name of a repository.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.ASCII):
        raise TrainingError(f"{option} is {name!r}; it must look like user/name.")


def _patient_client() -> Any:
    client = default_client_factory()
    client.event_hooks["request"].append(_give_an_end)
    return client


def _give_an_end(request: Any) -> None:
    """Many of the client's calls ask for no timeout at all, which goes before the client's own."""
    given = request.extensions.get("timeout") or {}
    ends = {wait: given.get(wait) or REQUEST_TIMEOUT_SECONDS for wait in WAITS}
    request.extensions["timeout"] = ends

"""Resolves checkpoints for a test, in a process of its own: the real client reads HF_ENDPOINT
once, when it is imported.

Reads one JSON object a line, the arguments; writes one, the checkpoint or the error,
or, if `early` is true, the folder of the small files that a page is built from.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from demo.checkpoints.resolve import CheckpointError, early_folder, resolve_checkpoint

PATHS = ("folder", "embedded", "base_file", "cache_dir")


def answer(arguments: dict[str, Any]) -> dict[str, Any]:
    """What became of one call."""
    os.environ["HF_TOKEN"] = arguments.pop("token")
    for name in PATHS:
        if name in arguments:
            arguments[name] = Path(arguments[name]) if arguments[name] else None
    if arguments.pop("early", False):
        return {"early": str(early_folder(**arguments))}
    said: list[str] = []
    started = time.monotonic()
    try:
        chosen = resolve_checkpoint(**arguments, say=said.append)
    except CheckpointError as error:
        return {"error": str(error)}
    seconds = time.monotonic() - started
    told = {name: getattr(chosen, name) for name in ("name", "revision", "notice")}
    return {**told, "folder": str(chosen.folder), "said": said, "seconds": seconds}


def main() -> None:
    """Until the input ends."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

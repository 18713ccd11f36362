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

from demo.checkpoints import resolve
from demo.checkpoints.resolve import CheckpointError, early_folder, resolve_checkpoint
from demo.settings import read_settings


def answer(arguments: dict[str, Any]) -> dict[str, Any]:
    """What became of one call."""
    os.environ["HF_TOKEN"] = arguments.pop("token")
    resolve.HUB_PATIENCE_SECONDS = arguments.pop("patience")
    embedded = Path(arguments.pop("embedded"))
    settings = read_settings(arguments["settings"])
    if arguments.get("early"):
        return {"early": str(early_folder(settings, embedded))}
    said: list[str] = []
    started = time.monotonic()
    try:
        chosen = resolve_checkpoint(settings, said.append, lambda chosen: chosen, embedded)
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

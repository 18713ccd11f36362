"""Tracking of runs by trackio: local, and only where it is installed.

Knows trackio's switches; must not know what is tracked. Nothing leaves the machine: figures go
into a database in one folder, which `trackio show` reads.
"""

import importlib.util
import os
from pathlib import Path
from typing import Any

PROJECT = "trump-or-computer-dump"


def tracking(runs: Path, run_name: str) -> dict[str, Any]:
    """What Trainer must be told, for a database beside the runs unless TRACKIO_DIR names
    another; nothing where trackio is not installed."""
    if importlib.util.find_spec("trackio") is None:
        return {"report_to": "none"}
    folder = os.environ.setdefault("TRACKIO_DIR", str(runs / "trackio"))
    print(f"Tracked in {folder}; to look: TRACKIO_DIR={folder} trackio show", flush=True)
    return {"report_to": "trackio", "project": PROJECT, "run_name": run_name}

"""What must be so before a checkpoint goes onto the Hub, and what its card says if it is not.

Knows a checkpoint's figures and the working tree; must not know the Hub.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo.checkpoints.files import METRICS
from training import working_tree
from training.errors import TrainingError

# Of many files, so many are named.
MAX_NAMED = 5


def evaluated(folder: Path) -> dict[str, Any]:
    """A checkpoint's figures, with bits per byte on test among them.

    Raises:
        TrainingError: there are none.
    """
    try:
        metrics: dict[str, Any] = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(
            f"{folder} has no {METRICS} that can be read: it is no checkpoint of finetune's."
        ) from error
    if _bits(metrics) is None:
        raise TrainingError(
            f"{folder} was not evaluated on test: run `python -m training evaluate --checkpoint "
            f"{folder}` first."
        )
    return metrics


def _bits(metrics: Mapping[str, Any]) -> float | None:
    """Bits per byte on test; None where there are none."""
    try:
        bits = float(metrics["evaluation"]["test"]["checkpoint"]["bits_per_byte"])
    except (KeyError, TypeError, ValueError):
        return None
    return bits if math.isfinite(bits) and bits > 0 else None


def worse(ours: Mapping[str, Any], theirs: Mapping[str, Any], is_forced: bool) -> tuple[str, ...]:
    """What the card must say of it, if what is on the Hub is better, or nobody can tell.

    Raises:
        TrainingError: so it is, and it is not forced.
    """
    bits, before = _bits(ours), _bits(theirs)
    if before is None and not is_forced:
        raise TrainingError(
            f"What is on the Hub has no bits per byte on test in its {METRICS}, so nobody can tell "
            "which is better: name another repository, or give --force-worse, and the card says so."
        )
    if before is None:
        return ("Published over a version that had no figures to compare with.",)
    if bits is None or bits <= before:
        return ()
    other = "" if _test_set(ours) == _test_set(theirs) else ", though on another set of tweets"
    if not is_forced:
        raise TrainingError(
            f"It takes {bits:.4f} bits per byte on test, and what is on the Hub {before:.4f}"
            f"{other}: publish a better one, or give --force-worse, and the card says so."
        )
    return (
        f"Published although the version before it was better: {before:.4f} bits per byte on "
        f"test, where this one takes {bits:.4f}{other}.",
    )


def _test_set(metrics: Mapping[str, Any]) -> Any:
    try:
        return metrics["data"]["splits"]["test"]["texts_sha256"]
    except (KeyError, TypeError):
        return None


def uncommitted(is_forced: bool) -> tuple[str, ...]:
    """What the card must say of the working tree, if it is not what a commit holds.

    Raises:
        TrainingError: so it is, and it is not forced.
    """
    changed = working_tree.changed()
    if changed is None:
        reason = f"{working_tree.ROOT.name} is under no version control that git tells of"
        remark = "Published from code that was under no version control."
    else:
        named = ", ".join(changed[:MAX_NAMED]) + (" …" if len(changed) > MAX_NAMED else "")
        reason = f"The working tree has uncommitted changes ({named})" if changed else ""
        remark = "Published from a working tree with uncommitted changes."
    if reason and not is_forced:
        raise TrainingError(f"{reason}: commit first, or give --force-dirty, and the card says so.")
    return (remark,) if reason else ()

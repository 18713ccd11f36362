"""Curves of runs, as pictures.

Knows histories of figures and matplotlib; must not know how a run is made.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

History = Sequence[Mapping[str, float]]


def draw_run(history: History, path: Path) -> None:
    """One run: training loss, bits per byte on dev and learning rate, by optimizer step."""
    figure, axes = _subplots(3, 1, sharex=True, figsize=(8, 8))
    for axis, key, label in zip(
        axes,
        ("loss", "eval_bits_per_byte", "learning_rate"),
        ("train loss, nats per token", "dev, bits per byte", "learning rate"),
        strict=True,
    ):
        points = [(entry["step"], entry[key]) for entry in history if key in entry]
        if points:
            axis.plot(*zip(*points, strict=True), marker="." if key.startswith("eval") else None)
        axis.set_ylabel(label)
    axes[-1].set_xlabel("optimizer step")
    _save(figure, path)


def draw_comparison(curves: Mapping[str, History], path: Path) -> None:
    """Bits per byte on dev of several runs, by tokens seen and by seconds of training."""
    figure, axes = _subplots(1, 2, sharey=True, figsize=(11, 4.5))
    for axis, key, label in zip(
        axes,
        ("tokens", "seconds"),
        ("tokens seen, thousands", "training time, minutes"),
        strict=True,
    ):
        scale = 1_000 if key == "tokens" else 60
        for name, history in curves.items():
            points = [(entry[key] / scale, entry["bits_per_byte"]) for entry in history]
            axis.plot(*zip(*points, strict=True), marker=".", label=name)
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("dev, bits per byte (lower is better)")
    axes[0].legend()
    _save(figure, path)


def _subplots(*shape: int, **options: Any) -> Any:
    matplotlib.use("agg")
    from matplotlib import pyplot  # noqa: PLC0415  (must follow the choice of backend)

    return pyplot.subplots(*shape, **options)


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot  # noqa: PLC0415

    figure.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)

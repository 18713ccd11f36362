"""Draws how training went."""

from collections.abc import Mapping, Sequence
from pathlib import Path


def draw_curves(curves: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> None:
    """Bits per byte on dev by tokens seen and by minutes of training, a line for each run, as a
    PNG."""
    # A second to import, which is needed only once all runs have ended.
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(11, 4.5))
    axes = figure.subplots(1, 2, sharey=True)
    for axis, key, scale, label in zip(
        axes,
        ("tokens", "seconds"),
        (1_000, 60),
        ("tokens seen, thousands", "training time, minutes"),
        strict=True,
    ):
        for name, curve in curves.items():
            points = [(entry[key] / scale, entry["bits_per_byte"]) for entry in curve]
            axis.plot(*zip(*points, strict=True), marker=".", label=name)
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("dev, bits per byte (lower is better)")
    if len(curves) > 1:
        axes[0].legend()
    figure.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})

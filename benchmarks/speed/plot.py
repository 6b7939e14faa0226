"""Plot of the rows: rasterizers by size, and cost curves with their fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

COLUMNS = 3
COLORS = {
    "numba": "#2f6db3", "triton": "#c2410c", "gsplat": "#5b8c2a",
    "diff_gaussian_rasterization": "#8a4fa3",
}  # fmt: skip
PALE = (0.3, 0.6, 1.0)  # opacities of lines, from small images to large ones


def save(rows: Sequence[dict], path: Path) -> None:
    """Write one panel per number of cameras and one per cost curve."""
    drawn = [row for row in rows if row["part"] == "rasterizer" and "both_ms" in row]
    curves = [row for row in rows if row["part"] == "scaling"]
    cameras = sorted({row["cameras"] for row in drawn})
    count = len(cameras) + len(curves)
    if not count:
        return
    lines = math.ceil(count / COLUMNS)
    figure, axes = plt.subplots(lines, COLUMNS, figsize=(4.2 * COLUMNS, 3.2 * lines), squeeze=False)
    for axis in axes.flat[count:]:
        axis.remove()
    for axis, number in zip(axes.flat, cameras, strict=False):
        _rasterizers(axis, [row for row in drawn if row["cameras"] == number])
        axis.set_title(f"forward + backward, ms: {number} camera{'s' * (number > 1)}")
    for axis, row in zip(axes.flat[len(cameras) :], curves, strict=False):
        _curve(axis, row)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _rasterizers(axis: Axes, rows: list[dict]) -> None:
    """Plot ms over the number of Gaussians, one line per rasterizer and image size."""
    sizes = sorted({row["pixels"] for row in rows})
    for engine, size in sorted({(row["engine"], row["pixels"]) for row in rows}):
        line = [row for row in rows if (row["engine"], row["pixels"]) == (engine, size)]
        axis.loglog(
            [row["gaussians"] for row in line],
            [row["both_ms"] for row in line],
            "o-",
            color=COLORS[engine],
            alpha=PALE[min(sizes.index(size), len(PALE) - 1)],
            label=f"{engine}, {size} px",
        )
    axis.set_xlabel("Gaussians")
    axis.legend(fontsize=7)
    axis.grid(alpha=0.3)


def _curve(axis: Axes, row: dict) -> None:
    axis.plot(row["x"], row["ms"], "o-", color="#2f6db3")
    fit = f"{row['intercept']:.3g} + {row['slope']:.3g} x,  R² {row['r2']:.4f}"
    ends = [0, row["x"][-1]]
    axis.plot(ends, [row["intercept"] + row["slope"] * x for x in ends], "--", label=fit)
    axis.set(title=f"{row['cost']}, ms", xlabel=row["over"])
    axis.legend(fontsize=7)
    axis.grid(alpha=0.3)

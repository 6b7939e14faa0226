"""The rows as tables of markdown, and quality against seconds as a plot."""

from __future__ import annotations

import statistics
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

WITH_TRUTH = ("psnr_fg", "mask_iou", "motion_psnr", "psnr", "ssim", "temporal_psnr", "chamfer")
WITHOUT = ("front_psnr_fg", "front_psnr", "flicker")
COSTS = ("seconds", "steps", "gaussians", "peak_memory_mb")
ORDER = ("plain", "A", "B", "C", "D", "E", "F", "G", "H", "none")


def write(rows: list[dict], path: Path) -> None:
    """Write path.md and path.svg beside path.json."""
    path.with_suffix(".md").write_text(markdown(rows))
    plot(rows, path.with_suffix(".svg"))


def markdown(rows: list[dict]) -> str:
    """One table for each preset and kind of views: means over seeds, with the spread."""
    trained = ", ".join(sorted({row["device"] for row in rows}))
    parts = [
        "# Quality",
        "Written by `python -m benchmarks.quality`: means over seeds, ± deviation. "
        f"Trained on: {trained}.",
    ]
    for (preset, views), group in sorted(_grouped(rows, "preset", "views").items()):
        parts.append(f"## {preset}, {views}")
        parts.append(_table([row for row in group if "psnr_fg" in row], WITH_TRUTH))
        parts.append(_table([row for row in group if "front_psnr_fg" in row], WITHOUT))
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(rows: list[dict], metrics: tuple[str, ...]) -> str:
    if not rows:
        return ""
    head = ("case", "config", "length", "seeds", *metrics, *COSTS)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    cells = _grouped(rows, "case", "length", "config")
    if len({row["case"] for row in rows}) > 1:
        cells |= {
            ("mean", *key): group for key, group in _grouped(rows, "length", "config").items()
        }
    for (case, length, config), group in sorted(cells.items(), key=_order):
        values = [_spread([row.get(name) for row in group]) for name in (*metrics, *COSTS)]
        seeds = len({row["seed"] for row in group})
        lines.append("| " + " | ".join([case, config, f"{length:g}", str(seeds), *values]) + " |")
    return "\n".join(lines)


def _order(item) -> tuple:
    case, length, config = item[0]
    return case == "mean", case, length, ORDER.index(config)


def _grouped(rows: list[dict], *names: str) -> dict[tuple, list[dict]]:
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in names)].append(row)
    return dict(groups)


def _spread(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    digits = 0 if abs(known[0]) >= 100 else 3 if abs(known[0]) < 1 else 2
    mean = f"{statistics.fmean(known):.{digits}f}"
    return mean if len(known) == 1 else f"{mean} ± {statistics.stdev(known):.{digits}f}"


def plot(rows: list[dict], path: Path) -> None:
    """Held-out psnr_fg against seconds of training, means over cases and seeds.

    Trainings of one length are no curve: nothing is drawn then.
    """
    rows = [row for row in rows if "psnr_fg" in row]
    if len({row["length"] for row in rows}) < 2:
        return
    kinds = sorted({row["views"] for row in rows})
    figure, axes = plt.subplots(1, len(kinds), figsize=(6 * len(kinds), 4.5), squeeze=False)
    for axis, views in zip(axes[0], kinds, strict=True):
        of_kind = [row for row in rows if row["views"] == views]
        for (preset, config), group in sorted(_grouped(of_kind, "preset", "config").items()):
            points = [
                [statistics.fmean(row[name] for row in cell) for name in ("seconds", "psnr_fg")]
                for cell in _grouped(group, "length").values()
            ]
            axis.semilogx(*zip(*sorted(points), strict=True), "o-", label=f"{preset} {config}")
        axis.set(title=views, xlabel="seconds of training", ylabel="held-out psnr_fg, dB")
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)

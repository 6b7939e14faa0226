"""The rows as one SVG: the renderers by size, and the straight lines of cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, COLUMNS = 300, 230, 3  # of a panel, pixels
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 44, 38  # margins inside a panel
COLORS = {
    "numba": "#2f6db3", "triton": "#c2410c", "gsplat": "#5b8c2a",
    "diff_gaussian_rasterization": "#8a4fa3",
}  # fmt: skip
PALE = (0.3, 0.6, 1.0)  # opacities, small images to large ones


@dataclass(frozen=True)
class Line:
    points: list[tuple[float, float]]
    color: str
    opacity: float = 1.0
    dots: bool = True
    dashes: bool = False


@dataclass(frozen=True)
class Panel:
    title: str
    notes: list[tuple[str, str]]  # below the title, texts and colours
    x: str  # what runs along the axis
    lines: list[Line]
    logarithmic: bool


def draw(rows: Sequence[dict]) -> str:
    """The text of an SVG file: a panel for each number of cameras, and one for each curve."""
    panels = [*_renderers(rows), *map(_curve, (row for row in rows if row["part"] == "scaling"))]
    width, height = COLUMNS * WIDTH, -(-len(panels) // COLUMNS) * HEIGHT
    body = [
        f'<g transform="translate({index % COLUMNS * WIDTH} {index // COLUMNS * HEIGHT})">'
        f"{_panel(panel)}</g>"
        for index, panel in enumerate(panels)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="10" fill="#333">\n'
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _renderers(rows: Sequence[dict]) -> list[Panel]:
    """Forward and backward by the number of Gaussians, a panel for each number of cameras."""
    drawn = [row for row in rows if row["part"] == "rasterizer" and "both_ms" in row]
    sizes = sorted({row["pixels"] for row in drawn})
    panels = []
    for C in sorted({row["cameras"] for row in drawn}):
        series: dict[tuple, list] = {}
        for row in drawn:
            if row["cameras"] == C:
                points = series.setdefault((row["engine"], row["pixels"]), [])
                points.append((row["gaussians"], row["both_ms"]))
        lines = [
            Line(points, COLORS[engine], PALE[min(sizes.index(size), len(PALE) - 1)])
            for (engine, size), points in series.items()
        ]
        title = f"Forward + backward, ms: {C} camera{'s' * (C > 1)}"
        notes = [(name, COLORS[name]) for name in COLORS if name in {key[0] for key in series}]
        along = f"Gaussians (pale to full: {', '.join(map(str, sizes))} px)"
        panels.append(Panel(title, notes, along, lines, logarithmic=True))
    return panels


def _curve(row: dict) -> Panel:
    measured = list(zip(row["x"], row["ms"], strict=True))
    ends = [(x, row["intercept"] + row["slope"] * x) for x in (0, row["x"][-1])]
    lines = [
        Line(ends, "#c2410c", dots=False, dashes=True),
        Line(measured, "#2f6db3"),
    ]
    note = f"{row['intercept']:.3g} + {row['slope']:.3g} x,  R² {row['r2']:.4f}"
    title = f"{row['cost'][0].upper()}{row['cost'][1:]}, ms"
    return Panel(title, [(note, "#333")], row["over"], lines, logarithmic=False)


def _panel(panel: Panel) -> str:
    points = [point for line in panel.lines for point in line.points]
    x_ticks, to_x = _axis([x for x, _ in points], LEFT, WIDTH - RIGHT, panel.logarithmic)
    y_ticks, to_y = _axis([y for _, y in points], HEIGHT - BOTTOM, TOP, panel.logarithmic)
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    notes = " ".join(f'<tspan fill="{color}">{escape(text)}</tspan>' for text, color in panel.notes)
    parts = [
        f'<text x="{left}" y="16" font-size="12" font-weight="bold">{escape(panel.title)}</text>',
        f'<text x="{left}" y="32">{notes}</text>',
        f'<text x="{(left + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(panel.x)}</text>",
    ]
    for value in x_ticks:
        parts.append(_rule(to_x(value), top, to_x(value), bottom))
        parts.append(_label(to_x(value), bottom + 13, "middle", value))
    for value in y_ticks:
        parts.append(_rule(left, to_y(value), right, to_y(value)))
        parts.append(_label(left - 5, to_y(value) + 3, "end", value))
    for line in panel.lines:
        places = [(round(to_x(x), 1), round(to_y(y), 1)) for x, y in line.points]
        path = " ".join(f"{x},{y}" for x, y in places)
        dashes = ' stroke-dasharray="4 3"' if line.dashes else ""
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{line.color}" stroke-width="1.5" '
            f'opacity="{line.opacity}"{dashes}/>'
        )
        if line.dots:
            style = f'r="2.2" fill="{line.color}" opacity="{line.opacity}"'
            parts += [f'<circle cx="{x}" cy="{y}" {style}/>' for x, y in places]
    return "".join(parts)


def _axis(
    values: Sequence[float], first: float, last: float, logarithmic: bool
) -> tuple[list[float], Callable[[float], float]]:
    """Ticks, and where a value lies between two pixels."""
    if logarithmic:
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        high = max(high, low + 1)
        ticks = [10.0**power for power in range(low, high + 1)]
        return ticks, lambda v: first + (last - first) * (math.log10(v) - low) / (high - low)
    low, high = min(0.0, min(values)), max(values)
    step = 10 ** math.floor(math.log10((high - low) / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 5)
    ticks = [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    high += 0.04 * (high - low)
    return ticks, lambda v: first + (last - first) * (v - low) / (high - low)


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _label(x: float, y: float, anchor: str, value: float) -> str:
    text = f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'

"""Markdown tables of the rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown(machine: dict, rows: Sequence[dict]) -> str:
    """Format all rows, one table per part."""
    parts = {
        "Rasterizer, ms (backward = both - forward)": _drawn(rows),
        "Memory-bandwidth floor: reading and writing each array once": _floors(rows),
        "Training steps": _steps(rows),
        "Cost curves: linear fits through the medians": _scaling(rows),
    }
    facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items())
    texts = [f"# Speed\n\nWritten by `python -m benchmarks.speed`; the machine: {facts}."]
    texts += [f"## {title}\n\n{table}" for title, table in parts.items() if table]
    return "\n\n".join(texts) + "\n"


def table(header: str, rows: Iterable[Sequence]) -> str:
    """Format a table without empty columns; an empty string if there are no rows."""
    cells = [list(map(_cell, row)) for row in rows]
    columns = zip(header.split(" | "), *cells, strict=True)
    columns = [column for column in columns if any(column[1:])]
    if not columns:
        return ""
    head, *body = ("| " + " | ".join(line) + " |" for line in zip(*columns, strict=True))
    return "\n".join([head, "|" + "---|" * len(columns), *body])


def _cell(value) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _of(rows: Sequence[dict], part: str) -> list[dict]:
    return [row for row in rows if row["part"] == part]


def cells(row: dict, *names: str) -> list:
    """Values of a row, empty where there is none."""
    return [row.get(name, "") for name in names]


def _drawn(rows: Sequence[dict]) -> str:
    names = ("engine", "gaussians", "pixels", "cameras", "forward_ms", "backward_ms", "both_ms",
             "repeats", "note")  # fmt: skip
    return table(
        "engine | Gaussians | px | cameras | forward | backward | both | repeats | note",
        (cells(row, *names) for row in _of(rows, "rasterizer")),
    )


def _floors(rows: Sequence[dict]) -> str:
    names = "gaussians", "pixels", "cameras", "both_ms", "graph_ms", "floor_ms"
    names += ("copy_bandwidth_gb_s",)
    return table(
        "Gaussians | px | cameras | both, ms | as a CUDA graph, ms | floor, ms | copy, GB/s",
        (cells(row, *names) for row in _of(rows, "floor")),
    )


def _steps(rows: Sequence[dict]) -> str:
    names = ("preset", "phase", "pixels", "gaussians", "steps_per_second", "ms_per_step",
             "scheduled", "seconds", "gpu_peak_memory_mb", "note")  # fmt: skip
    return table(
        "preset | phase | px | Gaussians | steps a second | ms a step | steps of the preset | "
        "seconds of these | GPU memory, MB | note",
        (cells(row, *names) for row in _of(rows, "steps")),
    )


def _scaling(rows: Sequence[dict]) -> str:
    return table(
        "cost of | over | from | to | fit, ms | R^2",
        (
            [row["cost"], row["over"], row["x"][0], row["x"][-1],
             f"{_cell(row['intercept'])} + {row['slope']:.3g} x", f"{row['r2']:.4f}"]
            for row in _of(rows, "scaling")
        ),
    )  # fmt: skip

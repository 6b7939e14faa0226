"""The paper's ablations (section 4.3, table 2) as settings of the 4D stage.

Each row adds one thing to the row before it. The table's terms are read as:

- "point initialization": on the mesh of the middle frame instead of in a ball;
- "LPIPS loss": the perceptual error of the generated views;
- "frame features": features of the views beside the HexPlane's. TSSF, which fuses views, is added
  later, and the mean over views is row F: so these are the features of the real view;
- "DSFD": these features decoupled;
- "TSSF": all views, by mean, global awareness or distance awareness.

Photometric losses and score distillation, which the table does not mention, stay the preset's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..config import FourdConfig

NOTHING = {"features": "none", "fusion": "front"}  # no view features; the fusion is unused
A = {"points_from": "random", "perceptual": 0.0, **NOTHING}
B = {"perceptual": 0.0, **NOTHING}
C = NOTHING
D = {"features": "frames", "fusion": "front"}
E = {"features": "dsfd", "fusion": "front"}
F = {"features": "dsfd", "fusion": "average"}
G = {"features": "dsfd", "fusion": "ga"}
H = {"features": "dsfd", "fusion": "da"}
# 4D Gaussian splatting of all given views without the method and without regularizers: the baseline
# at equal seconds.
PLAIN = B | {
    "robust": True, "sds": 0.0, "smooth_time": 0.0, "smooth_space": 0.0, "sparse_time": 0.0,
    "densify_until": 0, "warps": "off", "averaged": 0, "shuffled": False, "color_knots": 0,
    "hard_frames": 0.0,
}  # fmt: skip


def _changed(changes: dict[str, Any]) -> Callable[[FourdConfig], FourdConfig]:
    return lambda config: replace(config, **changes)


def plain(config: FourdConfig) -> FourdConfig:
    """Plain 4D-GS: every given view weighs as much as the real one."""
    return replace(config, **PLAIN, view_rgb=config.front_rgb, view_alpha=config.front_alpha)


# Name -> change of the 4D stage's settings; "none" leaves them as they are.
ABLATIONS: dict[str, Callable[[FourdConfig], FourdConfig]] = {
    "none": lambda config: config,
    "plain": plain,
    **{name: _changed(row) for name, row in zip("ABCDEFGH", (A, B, C, D, E, F, G, H), strict=True)},
}

"""A local folder with tiny random weights of every pretrained network, in the published layouts.

    python -m tests.fakes.everything FOLDER
    python -m ds4d generate CLIP --out RUN --weights FOLDER --device cpu

runs the whole chain through the code that loads the real ones. What comes out is noise.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.fakes import (
    depth,
    dinov2,
    instantmesh,
    l4gm,
    lpips,
    rembg,
    rife,
    sam2,
    videos,
    zero123,
    zero123plus,
)  # fmt: skip

SUBJECTS = (
    rembg, sam2, zero123plus, depth, dinov2, instantmesh, lpips, zero123, videos, rife, l4gm,
)  # fmt: skip


def make(folder: Path) -> Path:
    """Write the folder. Returns it."""
    for subject in SUBJECTS:
        subject.make(folder)
    return folder


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))

"""Compiled kernels that no longer say what their sources say.

numba keeps what it compiled beside the sources and looks at the file of a function alone: where a
function or a constant of another file was compiled into it, a newer one of that file goes unseen.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

KERNELS = ("*.py",)  # all kernels of this folder are compiled into each other
STAMP = "kernels.sha256"


def forget_stale(package: Path) -> None:
    """Forget what was compiled in a package, unless from all of its kernels as they are now."""
    sources = sorted(path for pattern in KERNELS for path in package.glob(pattern))
    stamp = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    kept = package / "__pycache__" / STAMP
    try:
        if kept.is_file() and kept.read_text() == stamp:
            return
        for folder in {path.parent for path in sources}:
            for index in folder.glob("__pycache__/*.nbi"):
                index.unlink(missing_ok=True)
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(stamp)
    except OSError:  # where nothing can be written, nothing was kept beside the sources
        return

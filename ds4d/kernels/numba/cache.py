"""Removal of compiled kernels that are older than their sources.

numba keeps compiled functions beside the sources, and compiles one again when its own file has
changed. A function or a constant of another file is compiled into it all the same, and a change
there goes unnoticed. So all compiled kernels go when any of their sources has changed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

STAMP = "kernels.sha256"  # in __pycache__: the hash of the sources that were compiled


def forget_stale(package: Path = Path(__file__).parent) -> None:
    """Delete the compiled kernels of a folder unless all their sources are still the same.

    Sources are all modules of the folder, and those of the folder above, whose constants are
    compiled into kernels too.

    Call it before the first kernel runs: numba reads what it has kept when a function is called
    for the first time, not when its module is imported.
    """
    sources = [*sorted(package.parent.glob("*.py")), *sorted(package.glob("*.py"))]
    stamp = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    compiled = package / "__pycache__"
    try:
        if (compiled / STAMP).is_file() and (compiled / STAMP).read_text() == stamp:
            return
        for index in compiled.glob("*.nbi"):
            index.unlink(missing_ok=True)
        compiled.mkdir(exist_ok=True)
        (compiled / STAMP).write_text(stamp)
    except OSError:  # a folder that cannot be written holds no compiled kernels
        return

"""Folders that tests read: the repository and the golden data of official implementations."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(os.environ.get("DS4D_GOLDEN") or ROOT / "tests" / "golden")


def golden_cases(pattern: str) -> list[Path]:
    """Files or folders of the golden data that match a pattern.

    Raises FileNotFoundError where there is none: parity that is not tested must not look tested.
    """
    cases = sorted(GOLDEN.glob(pattern))
    if not cases:
        raise FileNotFoundError(f"no golden data {GOLDEN / pattern}")
    return cases

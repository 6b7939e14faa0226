"""Committed cases with ground truth, and the script that renders them."""

from pathlib import Path

FROG = Path(__file__).parent / "frog"

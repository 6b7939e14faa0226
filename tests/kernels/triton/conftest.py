"""Triton's kernels against the torch modules in float64; on a CPU in Triton's interpreter."""

from __future__ import annotations

import pytest
import torch

from ds4d.kernels import dispatch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def by_triton(monkeypatch):
    """float32 goes to Triton's kernels on any device; numba's are out of use."""
    table = {
        operation: {DEVICE: next(m for m in modules.values() if m.startswith("triton."))}
        for operation, modules in dispatch.TABLE.items()
        if any(module.startswith("triton.") for module in modules.values())
    }
    monkeypatch.setattr(dispatch, "TABLE", dict.fromkeys(dispatch.TABLE, {}) | table)

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from ds4d.splatting.rasterize import use


@pytest.fixture(scope="session")
def twin():
    """The dense float64 specification of the renderer (twin.py beside this file)."""
    spec = importlib.util.spec_from_file_location("splat_twin", Path(__file__).with_name("twin.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["numba", "triton"])
def small(request):
    """Draws with each engine; whether the scene has to be small: Triton is interpreted here."""
    if request.param == "triton" and torch.cuda.is_available():
        pytest.skip("Triton compiles on this machine: python -m benchmarks.gpu_check tests it")
    with use(request.param):
        yield request.param == "triton"

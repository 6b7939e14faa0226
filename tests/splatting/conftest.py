from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def twin():
    """The dense float64 specification of the renderer (twin.py beside this file)."""
    spec = importlib.util.spec_from_file_location("splat_twin", Path(__file__).with_name("twin.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["numba", "triton"])
def backend(request):
    """Each backend that runs on a CPU; Triton is interpreted, so its scenes have to be small."""
    if request.param == "triton" and torch.cuda.is_available():
        pytest.skip(
            "Triton compiles on this machine: python -m benchmarks.speed.gpu_check tests it"
        )
    return request.param

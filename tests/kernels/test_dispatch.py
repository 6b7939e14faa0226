"""The dispatch of kernels: who computes what, and what it says when torch does instead."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import pytest
import torch

import ds4d.kernels
from ds4d.kernels import dispatch


def test_float32_goes_to_kernels_and_float64_to_torch():
    assert dispatch.kernels("deformation", torch.zeros(1)).__name__.endswith("numba.deformation")
    assert dispatch.kernels("deformation", torch.zeros(1, dtype=torch.float64)) is None
    assert dispatch.kernels("tssf", torch.zeros(1)) is None  # no kernel for a CPU


def test_a_fallback_is_said_once_with_its_reason():
    dispatch._warn.cache_clear()
    with pytest.warns(UserWarning, match='CPU kernels of the deformation.*scores "channel"'):
        assert dispatch.kernels("deformation", torch.zeros(1), 'scores "channel"') is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dispatch.kernels("deformation", torch.zeros(1), 'scores "channel"')
        dispatch.kernels("tssf", torch.zeros(1), "anything")  # nothing to fall back from


def test_kernels_of_one_operation_have_one_name():
    for modules in dispatch.TABLE.values():
        assert len({module.split(".")[1] for module in modules.values()}) == 1
        for module in modules.values():
            assert Path(ds4d.kernels.__path__[0], *module.split(".")).with_suffix(".py").is_file()


def test_kernels_import_nothing_of_the_packages_that_use_them():
    folder = Path(ds4d.kernels.__path__[0])
    for path in folder.rglob("*.py"):
        depth = len(path.relative_to(folder).parts)  # dots that lead out of the kernels: one more
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= depth, f"{path.name} imports from outside of ds4d.kernels"
                assert not (node.module or "").startswith("ds4d"), path.name
            elif isinstance(node, ast.Import):
                assert not any(alias.name.startswith("ds4d") for alias in node.names), path.name

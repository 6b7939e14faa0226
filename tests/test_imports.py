"""Import rules of the package: the dependency graph is acyclic and follows the pipeline."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from tests.paths import ROOT

# The flow of the pipeline: a stage never imports a later one.
STAGES = ("clip", "matting", "animate", "interpolation", "multiview", "features", "mesh", "fourd",
          "render", "evaluation", "export")  # fmt: skip
# The mesh that is part of an earlier stage's result, its files and its rasterizer.
SHARED_TYPES = ("ds4d.mesh.mesh", "ds4d.mesh.io", "ds4d.mesh.visibility")
# Packages below the stages, and the packages that they may import.
FOUNDATIONS = {
    "kernels": {"kernels"},
    "splatting": {"splatting", "kernels", "cameras", "errors", "config"},
    "run": {"run", "config", "presets", "errors", "weights", "images"},
    "weights": {"weights", "errors", "format", "run", "config"},
    "viewer": {"viewer"},
}
FOREIGN = ("gradio", "page", "app", "spaces", "training", "benchmarks")  # never imported by ds4d


@cache
def imports() -> dict[str, set[str]]:
    """Modules of ds4d, page and app that each module imports, at any depth of its code."""
    files = [*(ROOT / "ds4d").rglob("*.py"), *(ROOT / "page").rglob("*.py"), ROOT / "app.py"]
    modules = {_module(path): path for path in files}
    return {
        name: _imported(name, path, set(modules), ast.walk(ast.parse(path.read_text())))
        for name, path in modules.items()
    }


def at_once(start: str) -> set[str]:
    """Modules that are imported as soon as a module of ds4d is, of other packages, too."""
    modules = {_module(path): path for path in (ROOT / "ds4d").rglob("*.py")}
    found, new = set(), {start}
    while new:
        found |= new
        new = set().union(*(
            _imported(name, modules[name], set(modules), ast.parse(modules[name].read_text()).body)
            for name in new & set(modules)
        )) - found  # fmt: skip
    return found


def _module(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def _imported(name: str, path: Path, modules: set[str], statements: Iterable[ast.AST]) -> set[str]:
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    found = set()
    for node in statements:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parents, *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                found.add(whole if whole in modules else base)
    return found - {name}


def _part(module: str) -> str:
    """The package or module of ds4d that a module belongs to."""
    return module.split(".")[1] if module.count(".") else ""


def test_ds4d_imports_neither_the_page_nor_gradio_nor_training():
    foreign = [
        (name, target)
        for name, targets in imports().items()
        for target in targets
        if name.startswith("ds4d") and target.split(".")[0] in FOREIGN
    ]
    assert not foreign


def test_a_run_without_networks_does_not_wait_for_their_libraries():
    """They take longer to import than everything else, and 300 MB."""
    found = {name.split(".")[0] for name in at_once("ds4d.pipeline")}
    assert "torch" in found and not found & {"transformers", "diffusers", "onnxruntime", "rembg"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_no_later_stage(stage):
    later = STAGES[STAGES.index(stage) + 1 :]
    wrong = [
        (name, target)
        for name, targets in imports().items()
        for target in targets
        if name.startswith("ds4d.") and _part(name) == stage
        if target.startswith("ds4d.") and _part(target) in later and target not in SHARED_TYPES
    ]
    assert not wrong


@pytest.mark.parametrize("package", FOUNDATIONS)
def test_foundations_import_no_stage(package):
    wrong = [
        (name, target)
        for name, targets in imports().items()
        for target in targets
        if name.startswith("ds4d.") and _part(name) == package
        if target.startswith("ds4d.") and _part(target) not in FOUNDATIONS[package]
    ]
    assert not wrong


def test_only_entry_points_import_the_pipeline():
    importers = {name for name, targets in imports().items() if "ds4d.pipeline" in targets}
    entry_points = ("ds4d.cli", "ds4d.doctor", "ds4d.batch.tasks", "ds4d.pipeline.", "page")
    assert all(name.startswith(entry_points) for name in importers), importers


def test_no_module_imports_itself_through_others():
    graph = {name: {t for t in targets if t in imports()} for name, targets in imports().items()}
    while free := {name for name, targets in graph.items() if not targets}:
        graph = {name: targets - free for name, targets in graph.items() if name not in free}
    assert not graph, f"circular imports among {sorted(graph)}"


def test_no_module_hides_a_function_of_its_package():
    """An import of ds4d.clip.travel would put the module in place of a function clip.travel."""
    hidden = []
    for package in (ROOT / "ds4d").rglob("__init__.py"):
        names = {
            alias.asname or alias.name
            for node in ast.walk(ast.parse(package.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
            if alias.name != node.module  # imported before the function takes its name
        }
        modules = {path.stem for path in package.parent.glob("*.py")}
        hidden += [f"{package.parent.name}.{name}" for name in sorted(names & modules)]
    assert not hidden

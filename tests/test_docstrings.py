"""Docstrings name their subject: they begin with a noun or a verb, not with a question word."""

from __future__ import annotations

import ast

import pytest

from tests.paths import ROOT

FOLDERS = ("ds4d", "page", "benchmarks", "examples", "training", "tests")
QUESTIONS = ("What", "Whatever", "How", "Where", "Who", "Whose", "Which", "When", "Why", "Whether")


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_begin_with_their_subject(folder):
    questions = [
        f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if (ast.get_docstring(node) or "").split(" ")[0] in QUESTIONS
    ]
    assert not questions

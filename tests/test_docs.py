"""The documentation agrees with the tree: links, files, commands, variables, weights, sections."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from ds4d import cli
from ds4d.doctor import pretrained
from ds4d.format import file_size
from ds4d.weights import CATALOGUE
from page.limits import PREFIX, Limits
from tests.paths import ROOT

PAGES = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md",
    ROOT / "examples" / "README.md", *sorted((ROOT / "docs").glob("*.md")),
]  # fmt: skip
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
TO_BE_WRITTEN = "threshold"  # the example of docs/architecture.md


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        assert ROOT in (linked, *linked.parents), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_that_are_named_exist(page):
    for span in spans(page):
        if TO_BE_WRITTEN in span:
            continue
        if re.fullmatch(r"(ds4d|page|tests|examples|benchmarks|docs)/[\w./-]+", span):
            assert (ROOT / span).exists(), span
        if re.fullmatch(r"(ds4d|page)(\.\w+)+", span):  # a module, or something inside it
            path = ROOT / span.replace(".", "/")
            assert any(p.exists() for p in (path, path.with_suffix(".py"), path.parent)) or (
                path.parent.with_suffix(".py").exists()
            ), span


def spans(page: Path) -> list[str]:
    """The inline code of a page."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text()))


def commands() -> list[str]:
    """Every command line of the project's modules, without its comment."""
    lines = []
    for page in PAGES:
        text = [*spans(page), *"".join(FENCE.findall(page.read_text())).splitlines()]
        found = (re.match(r" *(?:\.venv/bin/)?python -m ((?:ds4d|[a-z]+\.).*)$", x) for x in text)
        lines += [match[1].split("#")[0].strip() for match in found if match]
    return sorted({line for line in lines if TO_BE_WRITTEN not in line})


@pytest.mark.parametrize("line", commands())
def test_command_lines_are_understood(line, monkeypatch):
    module, *arguments = shlex.split(line.replace(" ...", ""))
    if module != "ds4d":
        assert importlib.util.find_spec(module) is not None
        return
    ran = []
    monkeypatch.setattr(cli, "RUNNERS", dict.fromkeys(cli.RUNNERS, lambda c: ran.append(c) or 0))
    assert cli.main(arguments) == 0 and len(ran) == 1


def test_every_environment_variable_is_in_the_operators_table():
    rows = re.findall(r"^\| `(DS4D_\w+)` \| ([^|]+) \|", (ROOT / "docs/space.md").read_text(), re.M)
    limits = {PREFIX + field.name.upper(): f"{field.default:g}" for field in fields(Limits)}
    limits["DS4D_CLIP_MEGAPIXELS"] = str(Limits().clip_megapixels)
    documented = {name: default.strip() for name, default in rows}
    assert {name: documented.get(name) for name in limits} == limits
    read = {"DS4D_RUNS", "DS4D_WEIGHTS", "DS4D_RAY", "DS4D_COMMERCIAL"}
    assert set(documented) == set(limits) | read


def test_the_weights_table_is_the_catalogue():
    engines = [engine for engine in pretrained() if not engine.on_demand]
    defaults = {name for engine in engines for name in (*engine.weights, *engine.extras)}
    rows = re.findall(
        r"^\| (\**)([\w.-]+)\1 \(\[[^]]+\]\(([^)]+)\)\) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$",
        (ROOT / "docs/weights.md").read_text(), re.MULTILINE,
    )  # fmt: skip
    documented = {name: (bool(bold), *rest) for bold, name, *rest in rows}
    assert documented == {
        name: (
            name in defaults, weights.url or f"https://huggingface.co/{weights.repo}",
            weights.use, file_size(weights.bytes), weights.licence,
        )
        for name, weights in CATALOGUE.items()
    }  # fmt: skip


def test_sections_of_the_method_that_the_code_cites_exist():
    sections = re.findall(r"^## (\d+)\.", (ROOT / "docs/method.md").read_text(), re.MULTILINE)
    for path in (ROOT / "ds4d").rglob("*.py"):
        for cited in re.findall(r"method\.md,?\s+sections?\s+(\d+)", path.read_text()):
            assert cited in sections, path


def test_figures_are_small():
    assert os.path.getsize(ROOT / "docs/loop.webp") < 1.5e6

"""The table of the papers: means over cases, and both formats."""

from __future__ import annotations

import json

from benchmarks import papers
from ds4d.evaluation import papers as judged


def test_means_are_over_cases_and_published_rows_stand_above(tmp_path, capsys):
    for name, clip in (("frog", 0.8), ("fox", 0.9)):
        (tmp_path / "cases" / name).mkdir(parents=True)
        kept = tmp_path / "runs" / name / "evaluation"
        kept.mkdir(parents=True)
        found = {"clip": clip, "lpips": 0.2, "fvd": 1000.0}
        (kept / f"{name}.papers.json").write_text(json.dumps(found))
    latex = tmp_path / "table.tex"
    papers.main(papers.Options(tmp_path / "runs", tmp_path / "cases", latex=latex, name="ours"))
    printed = capsys.readouterr().out
    assert "| Consistent4D | 0.9085 | 0.1316 | 1041.2 |" in printed
    assert printed.strip().endswith("| ours | 0.8500 | 0.2000 | 1000.0 |")
    assert "ours & 0.8500 & 0.2000 & 1000.0 \\\\" in latex.read_text()


def test_sets_are_of_the_views_of_all_cases(tmp_path, monkeypatch):
    cases = [tmp_path / "cases" / name for name in ("frog", "fox")]
    monkeypatch.setattr(judged, "views", lambda folder, case: [(folder.name, case.name)] * 2)
    monkeypatch.setattr(judged, "of_sets", lambda name, pairs, machine: (name, pairs))
    found = papers.over_sets(tmp_path / "runs", cases, "")
    assert found["fid-vid"] == ("fid-vid", [("frog", "frog")] * 2 + [("fox", "fox")] * 2)
    assert set(found) == {"fid-vid", "fvd-sets"}


def test_the_last_rows_of_both_tables_are_the_same_runs():
    assert papers.TABLE_1["DS4D-DA"] == papers.TABLE_2["H"]
    assert papers.TABLE_1["DS4D-GA"] == papers.TABLE_2["G"]

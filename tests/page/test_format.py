"""Durations and sizes as text."""

from __future__ import annotations

from page.format import duration, file_size, rough_duration


def test_measured_durations():
    texts = ["0.4 s", "12 s", "3 min 5 s", "1 min 0 s"]
    assert [duration(seconds) for seconds in (0.42, 12.4, 185, 60)] == texts


def test_estimated_durations_are_round():
    texts = ["5 seconds", "20 seconds", "a minute", "4 minutes", "an hour", "2 hours"]
    assert [rough_duration(s) for s in (1, 19, 62, 230, 3500, 7200)] == texts


def test_file_sizes():
    assert [file_size(size) for size in (12, 34_000, 5.6e6)] == ["12 B", "34 kB", "6 MB"]
    assert file_size(1.25e9) == "1.2 GB"

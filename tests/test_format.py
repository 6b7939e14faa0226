"""Durations and sizes as text."""

from __future__ import annotations

from ds4d.format import duration, file_size, rough_duration


def test_measured_durations():
    texts = ["0.4 s", "12 s", "3 min 5 s", "1 min", "2 h 5 min"]
    assert [duration(seconds) for seconds in (0.42, 12.4, 185, 60, 7512)] == texts


def test_estimated_durations_are_round():
    texts = ["5 seconds", "20 seconds", "a minute", "4 minutes", "an hour", "2 hours"]
    assert [rough_duration(s) for s in (1, 19, 62, 230, 3500, 7200)] == texts


def test_file_sizes():
    assert [file_size(size) for size in (698, 34_000, 88_249_960)] == ["698 B", "34 kB", "88 MB"]
    assert [file_size(size) for size in (999_999_999, 5.58e9)] == ["1.00 GB", "5.58 GB"]

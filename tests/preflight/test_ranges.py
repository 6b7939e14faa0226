"""Numbers that no run can use are refused before any work, with the range that is allowed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import pytest

from ds4d.cli import main
from ds4d.config import Config
from ds4d.errors import UserError
from ds4d.preflight import ranges
from ds4d.presets import PRESETS

PARTS = {f.name for f in dataclasses.fields(Config) if dataclasses.is_dataclass(f.default_factory)}


def numbers():
    """Every number among the settings: its part of the config, its name, and its default."""
    for part in sorted(PARTS):
        for field in dataclasses.fields(getattr(Config(), part)):
            value = getattr(getattr(Config(), part), field.name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield part, field.name, value


def test_the_presets_are_in_range():
    for preset in PRESETS.values():
        ranges.check(preset)


@pytest.mark.parametrize(
    "wrong", [math.nan, math.inf, -math.inf, -1e30, pytest.param(10**400, id="huge")]
)
@pytest.mark.parametrize("part", sorted(PARTS))
def test_no_setting_takes_a_number_beyond_all_bounds(part, wrong):
    fields = [name for of, name, _ in numbers() if of == part]
    for name in fields:
        config = replace(Config(), **{part: replace(getattr(Config(), part), **{name: wrong})})
        with pytest.raises(UserError) as refused:
            ranges.check(config)
        assert f"--{part}.{name.replace('_', '-')} cannot be" in refused.value.sentence
        assert refused.value.hint.startswith("Choose")


def test_pairs_and_optional_numbers_are_checked_too():
    for fourd in ({"means_lr": (1e-3, math.nan)}, {"prune_scales": (-1.0, 1.0)}):
        with pytest.raises(UserError):
            ranges.check(Config(fourd=replace(Config().fourd, **fourd)))
    with pytest.raises(UserError, match="--multiview.slant cannot be 90"):
        ranges.check(Config(multiview=replace(Config().multiview, slant=90.0)))


@pytest.mark.parametrize(
    "option",
    [
        "--clip.frames 0", "--clip.frames -3", "--clip.start nan", "--clip.end inf",
        "--clip.size 0", "--clip.margin 0.5", "--seed -1", "--videos.fps 0", "--videos.seconds nan",
        "--multiview.depth 0", "--mesh.resolution 0", "--fourd.points 0", "--fourd.bound -1",
        "--fourd.means-lr nan 1", "--features.grid 0", "--clip.max-bytes -5",
    ],
)  # fmt: skip
def test_the_command_line_says_it_in_a_sentence_and_writes_nothing(option, tmp_path, capsys):
    (tmp_path / "clip.mp4").touch()
    line = ["generate", str(tmp_path / "clip.mp4"), "--out", str(tmp_path / "run")]
    assert main([*line, *option.split()]) == 1
    name = option.split()[0]
    assert f"{name} cannot be" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()

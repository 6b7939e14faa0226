"""The settings of the page are the config's own fields, each under its own name."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ds4d.config import Config
from ds4d.errors import UserError
from ds4d.presets import PRESETS
from page import hardware
from page.components.number import Number
from page.limits import Limits
from page.settings import SETTINGS, configure, preset_changes, preset_choices, values_of

LIMITS = Limits()
FIELDS = {  # name of the API's parameter -> field of the config
    "start": "clip.start",
    "end": "clip.end",
    "frames": "clip.frames",
    "size": "clip.size",
    "drawing_steps": "multiview.steps",
    "slant": "multiview.slant",
    "depth": "multiview.depth",
    "redraw": "multiview.redraw",
    "resolution": "mesh.resolution",
    "points": "fourd.points",
    "most_points": "fourd.max_gaussians",
    "static_steps": "fourd.static_iterations",
    "dynamic_steps": "fourd.dynamic_iterations",
    "image_size": "fourd.image_size",
    "exclude": "fourd.exclude",
    "video_size": "videos.size",
    "video_seconds": "videos.seconds",
    "views_engine": "multiview.engine",
    "start_from": "fourd.start",
    "mattes_engine": "matting.engine",
}


def field_of(config: Config, path: str):
    part, field = path.split(".")
    return getattr(getattr(config, part), field)


def test_every_setting_changes_its_own_field_and_no_other():
    assert list(SETTINGS) == list(FIELDS)
    untouched = configure(LIMITS)
    for name, setting in SETTINGS.items():
        value = "7:7" if setting.is_list else (setting.words or [setting.minimum + 1])[-1]
        config = configure(LIMITS, **{name: value})
        for other, path in FIELDS.items():
            expected = field_of(untouched, path)
            if other == name:
                expected = ("7:7",) if setting.is_list else value
            assert field_of(config, path) == expected, (name, other)


def test_every_setting_has_documentation_and_the_presets_fit_its_range():
    for name, setting in SETTINGS.items():
        assert len(setting.hint) > 8, name
        for preset, config in PRESETS.items():
            value = setting.value_in(config)
            assert setting.apply(config, value, LIMITS) == config, (name, preset)


def test_without_values_a_run_has_the_preset_s():
    for preset, config in PRESETS.items():
        assert configure(LIMITS, preset, **dict.fromkeys(SETTINGS)) == config
        assert configure(LIMITS, **values_of(config)) == config


def test_zero_counts_only_where_it_is_in_range():
    config = configure(LIMITS, slant=0, start=0, end=0, frames=0)
    assert config.multiview.slant == 0 and config.clip == Config().clip


def test_lists_are_separated_by_spaces_or_commas():
    config = configure(LIMITS, exclude=" 3:4, 5:2  1:1")
    assert config.fourd.exclude == ("3:4", "5:2", "1:1")
    assert SETTINGS["exclude"].value_in(config) == "3:4 5:2 1:1"
    assert configure(LIMITS, exclude="") == Config()


@pytest.mark.parametrize("values", [{"frames": 1}, {"frames": -3}, {"video_size": 100_000}])
def test_a_value_out_of_range_is_refused_with_the_range(values):
    with pytest.raises(UserError, match="from .* to"):
        configure(LIMITS, **values)


def test_ranges_follow_the_limits_of_the_page():
    assert configure(LIMITS, frames=96).clip.frames == 96
    with pytest.raises(UserError, match="from 2 to 8"):
        configure(replace(LIMITS, frames=8), frames=96)


@pytest.mark.parametrize(
    "wrong", [math.nan, math.inf, -math.inf, "4", [4], {}, True, pytest.param(10**400, id="huge")]
)
@pytest.mark.parametrize("name", [name for name in SETTINGS if not SETTINGS[name].is_list])
def test_what_is_no_number_in_range_is_refused_by_the_control_and_the_config(name, wrong):
    control = Number(precision=0 if SETTINGS[name].is_integer else None)
    with pytest.raises(UserError) as refused:
        configure(LIMITS, **{name: control.preprocess(wrong)})
    assert SETTINGS[name].label in refused.value.sentence and refused.value.hint


def test_whole_numbers_are_rounded():
    assert Number(precision=0).preprocess(2.7) == 3 and Number().preprocess(None) is None


@pytest.mark.parametrize("seed", [-1, None, math.nan, math.inf, "x", 2**40])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(UserError, match="seed"):
        configure(LIMITS, seed=seed)


def test_another_preset_keeps_what_has_nothing_to_do_with_it():
    values = preset_changes("paper")
    assert not values.keys() & {"start", "end", "exclude", "slant", "seed"}
    assert values["dynamic_steps"] == PRESETS["paper"].fourd.dynamic_iterations


def test_preset_labels_state_sizes_and_steps():
    labels = {name: label for label, name in preset_choices()}
    assert labels.keys() == PRESETS.keys()
    assert "Up to 24 frames of 512 px, 7,000 steps" in labels["paper"]


def test_an_uploaded_mesh_is_part_of_the_config():
    config = configure(LIMITS, mesh="mine.glb")
    assert config == replace(Config(), mesh=replace(Config().mesh, file="mine.glb"))


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(hardware, "gpu_name", lambda: "NVIDIA L4")


def test_a_page_without_a_gpu_offers_no_networks():
    assert SETTINGS["views_engine"].choices == ("auto", "inflate")


def test_a_space_for_commercial_use_offers_no_other_engines(monkeypatch, gpu):
    assert SETTINGS["views_engine"].choices == ("auto", "zero123plus", "l4gm", "inflate")
    monkeypatch.setenv("DS4D_COMMERCIAL", "1")
    assert SETTINGS["views_engine"].choices == ("auto", "inflate")
    with pytest.raises(UserError, match="Engine cannot be l4gm here"):
        configure(LIMITS, views_engine="l4gm")
    assert configure(LIMITS, views_engine="inflate").multiview.engine == "inflate"


def test_words_that_are_not_offered_are_refused():
    with pytest.raises(UserError, match="Choose one of points, gaussians"):
        configure(LIMITS, start_from="nothing")

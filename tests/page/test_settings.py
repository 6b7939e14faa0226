"""The settings that the page offers are the config's own fields."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ds4d.config import PRESETS, Config
from ds4d.errors import UserError
from page.settings import SETTINGS, changed_values, configure, preset_choices, preset_values


def test_every_setting_has_a_sentence_and_the_presets_fit_its_limits():
    for name, setting in SETTINGS.items():
        assert len(setting.hint) > 8, name
        for preset, config in PRESETS.items():
            value = setting.shown(config)
            assert setting.put(config, value) == config, (name, preset)


def test_nothing_chosen_is_the_preset_itself():
    for preset, config in PRESETS.items():
        assert configure(preset, 0, dict.fromkeys(SETTINGS)) == config
        own = dict(zip(SETTINGS, preset_values(preset), strict=True))
        assert configure(preset, 0, own) == config


def test_a_value_changes_its_own_field_only():
    config = configure("standard", 7, {"dynamic_steps": 40, "frames": None})
    assert config.seed == 7 and config.fourd.dynamic_iterations == 40
    assert config.clip == PRESETS["standard"].clip and config.videos == PRESETS["standard"].videos


def test_zero_counts_where_it_can_be_and_nowhere_else():
    config = configure("preview", 0, {"slant": 0, "start": 0, "end": 0, "frames": 0})
    assert config.multiview.slant == 0 and config.clip == Config().clip


def test_words_are_a_list_however_they_are_parted():
    config = configure("preview", 0, {"exclude": " 3:4, 5:2  1:1"})
    assert config.fourd.exclude == ("3:4", "5:2", "1:1")
    assert SETTINGS["exclude"].shown(config) == "3:4 5:2 1:1"
    assert configure("preview", 0, {"exclude": ""}) == Config()


@pytest.mark.parametrize("values", [{"frames": 1}, {"frames": -3}, {"video_size": 100_000}])
def test_what_this_page_cannot_bear_is_said_with_the_limits(values):
    with pytest.raises(UserError, match="from .* to"):
        configure("preview", 0, values)


@pytest.mark.parametrize("seed", [-1, None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(UserError, match="seed"):
        configure("preview", seed, {})


def test_another_preset_leaves_the_visitor_s_own_choices_alone():
    """The part of the clip, for one, has nothing to do with the preset."""
    values = dict(zip(SETTINGS, changed_values("paper"), strict=True))
    for name in ("start", "end", "exclude", "slant"):
        assert not isinstance(values[name], int | float | str | None), name  # gr.skip()
    assert values["dynamic_steps"] == PRESETS["paper"].fourd.dynamic_iterations


def test_each_preset_says_what_it_takes():
    labels = {name: label for label, name in preset_choices()}
    assert labels.keys() == PRESETS.keys()
    assert "Up to 24 frames of 512 px, 7,000 steps" in labels["paper"]


def test_a_mesh_of_one_s_own_is_part_of_the_config():
    config = configure("preview", 0, {}, "mine.glb")
    assert config == replace(Config(), mesh=replace(Config().mesh, file="mine.glb"))

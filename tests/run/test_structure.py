"""Settings that earlier versions have stored."""

import dataclasses
import json

import pytest

from ds4d.config import Config, FourdConfig
from ds4d.presets import PRESETS
from ds4d.run.structure import structure
from ds4d.run.workspace import content_key


def stored(config) -> dict:
    return json.loads(json.dumps(dataclasses.asdict(config)))


@pytest.mark.parametrize("preset", list(PRESETS))
def test_settings_come_back_as_they_were_stored(preset):
    assert structure(stored(PRESETS[preset]), Config) == PRESETS[preset]


def test_settings_that_no_longer_exist_or_fit_take_their_defaults():
    values = stored(Config(seed=3))
    values["fourd"] |= {"gone": 1.0, "warp_lr": [1.0, 2.0], "means_lr": 0.5, "features": "gone"}
    values["sails"] = {"count": 4}
    del values["mesh"]
    assert structure(values, Config) == Config(seed=3)


def test_whole_numbers_keep_their_content_key():
    config = FourdConfig(sds=1)  # a number from a form
    assert content_key(structure(stored(config), FourdConfig)) == content_key(config)

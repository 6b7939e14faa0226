"""Motions: loops without a seam that keep a puppet whole."""

from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np
import pytest

from ds4d.animate.puppet import motions
from ds4d.animate.puppet.rig import Puppet
from ds4d.config import AnimateConfig
from tests.animate.figures import animal, person, pot

FIGURES = {"person": person, "animal": animal, "pot": pot}
PUPPETS = {name: Puppet(figure()) for name, figure in FIGURES.items()}
GRID = (np.linspace(-0.3, 0.3, 13) + 1j * np.linspace(0, 1, 21)[:, None]).ravel()
each_motion = pytest.mark.parametrize("motion", motions.MOTIONS)
each_figure = pytest.mark.parametrize("figure", FIGURES)


def test_the_choices_of_the_config_are_the_motions():
    choices = get_args(get_type_hints(AnimateConfig)["motion"])
    assert choices == ("auto", "all", *motions.MOTIONS)


@each_motion
@each_figure
def test_a_loop_has_no_seam_and_no_jump(motion, figure):
    shape = PUPPETS[figure].shape
    move = motions.MOTIONS[motion]
    phases = np.arange(97) / 96
    poses = [move(shape, phase, 1.0) for phase in phases]
    places = np.stack([pose.whole(GRID) for pose in poses])
    np.testing.assert_allclose(places[-1], places[0], atol=1e-9)
    assert np.abs(np.diff(places, axis=0)).max() < 0.06
    for index in poses[0].turns:
        angles = np.array([pose.turns[index].angle for pose in poses])
        assert abs(angles[-1] - angles[0]) < 1e-9 and np.abs(np.diff(angles)).max() < 0.12


@each_motion
@each_figure
def test_something_moves_but_nothing_without_strength(motion, figure):
    shape = PUPPETS[figure].shape
    for amount, moves in ((1.0, True), (0.0, False)):
        poses = [motions.MOTIONS[motion](shape, phase, amount) for phase in (0, 0.1, 0.3, 0.6)]
        moved = max(np.abs(pose.whole(GRID) - GRID).max() for pose in poses)
        turned = max((abs(turn.angle) + abs(turn.shift) for pose in poses
                      for turn in pose.turns.values()), default=0)  # fmt: skip
        assert (moved + turned > 0.01) == moves


@each_motion
@each_figure
def test_what_stands_on_the_ground_does_not_slide(motion, figure):
    """Without its feet lifted, the base stays on the ground; it may rock on its corners."""
    shape = PUPPETS[figure].shape
    base = np.linspace(-0.2, 0.2, 5) * shape.width + 0j
    for phase in np.arange(12) / 12:
        lowest = motions.MOTIONS[motion](shape, phase, 1.0).whole(base).imag.min()
        assert lowest > -0.02


@each_motion
@each_figure
def test_no_two_frames_are_alike(motion, figure):
    """Frames that are alike would be merged in the file, and the clip would lose its pace."""
    puppet = PUPPETS[figure]
    move = motions.MOTIONS[motion]
    places = [puppet._vertices(move(puppet.shape, frame / 24, 1.0)) for frame in range(25)]
    assert min(np.abs(np.diff(places, axis=0)).max(1)) * puppet.height > 0.1


def test_bending_keeps_area():
    shape = PUPPETS["pot"].shape
    step = 1e-4
    whole = motions.sway(shape, 0.2, 1.0).whole
    inner = GRID[(GRID.imag > 0.01) & (GRID.imag < 0.99)]
    right = (whole(inner + step) - whole(inner - step)) / (2 * step)
    upward = (whole(inner + 1j * step) - whole(inner - 1j * step)) / (2 * step)
    area = (right.conj() * upward).imag
    assert abs(area.mean() - 1) < 0.01 and 0.6 < area.min() and area.max() < 1.4


def test_the_motion_suits_the_shape():
    suited = {name: motions.suited(puppet.shape)[0] for name, puppet in PUPPETS.items()}
    assert suited == {"person": "wave", "animal": "walk", "pot": "sway"}


def test_only_one_arm_waves_and_it_rises():
    puppet = PUPPETS["person"]
    poses = [motions.wave(puppet.shape, phase, 1.0) for phase in np.arange(24) / 24]
    (arm,) = poses[0].turns
    assert puppet.shape.limbs[arm].kind == "arm"
    tip = puppet.shape.paths[arm][-1]
    vertex = np.abs(puppet.rest - tip).argmin()
    heights = [puppet._vertices(pose)[vertex].imag for pose in poses]
    assert max(heights) > tip.imag + 0.08


def test_feet_lift_in_turn():
    puppet = PUPPETS["person"]
    feet = puppet.shape.of_kind("foot")
    lifts = np.array([
        [motions.walk(puppet.shape, phase, 1.0).turns[foot].shift.imag for foot in feet]
        for phase in np.arange(48) / 48
    ])  # fmt: skip
    assert lifts.max() > 0.03 and (lifts.min(1) == 0).all()

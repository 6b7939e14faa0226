"""Shape prior: weights in 8 bits, and the surfaces of a clip."""

import json
import math

import numpy as np
import pytest
import torch

from ds4d.multiview.shape_prior.inference import Prior, likely_slants, without_teeth
from ds4d.multiview.shape_prior.network import SLANT_BINS, slant_bins
from ds4d.multiview.shape_prior.weights import load_weights, save_weights
from tests.training.shape_prior.boxes import box, clip_frames, clips_of
from training.shape_prior.procedural import figures
from training.shape_prior.views import slants


@pytest.fixture(scope="module")
def prior():
    return Prior.load()


def test_weights_survive_eight_bits(tmp_path):
    weights = {"matrix": torch.randn(8, 20), "vector": torch.randn(8)}
    save_weights(tmp_path / "w.safetensors", weights, {"sizes": json.dumps({"blocks": [1, 2]})})
    read, sizes = load_weights(tmp_path / "w.safetensors")
    assert sizes == {"blocks": (1, 2)}
    for name, weight in weights.items():
        assert (read[name] - weight).abs().max() < 0.02


def test_opposite_slants_are_not_averaged():
    logits = torch.full((4, SLANT_BINS), -5.0)
    logits[:, 3], logits[:, -4] = 1.0, 1.1
    found, chances = likely_slants(logits)
    assert torch.allclose(found, slant_bins()[-4].expand(4), atol=0.15)
    evidence = np.zeros(SLANT_BINS)
    evidence[:10] = 3.0
    assert (likely_slants(logits, evidence)[0] < 0).all()
    assert torch.allclose(chances.sum(-1), torch.ones(4))


def test_surfaces_of_a_clip(prior):
    clips = clips_of(figures(1, seed=3)[0], 30, frames=3, size=96)
    frames = clip_frames(clips)
    surfaces = prior(frames)
    inside = frames[..., 3] > 127
    assert surfaces.front.shape == frames.shape[:3]
    assert surfaces.back_colors.shape == (*frames.shape[:3], 3)
    assert (surfaces.back[inside] >= surfaces.front[inside]).all()
    assert np.isfinite(surfaces.spreads).all() and (surfaces.spreads[inside] > 0).all()
    known = inside & clips.mask[0].numpy()
    thickness = (clips.back - clips.front)[0].numpy()
    found = surfaces.back - surfaces.front
    assert np.abs(found - thickness)[known].mean() < 0.6 * thickness[known].mean()


def test_pixels_that_stand_out_go_and_nothing_comes_from_outside():
    plane = (0.02 * torch.arange(12.0) + torch.zeros(12, 1)).expand(2, 1, 12, 12)
    inside = torch.ones(2, 1, 12, 12, dtype=torch.bool)
    inside[..., 8:] = False
    spiked = plane.where(inside, 100.0)
    spiked[:, :, ::2, 4] += 1.0
    found = without_teeth(spiked, inside)
    assert (found - plane)[inside].abs().max() < 0.021  # the slope over one pixel
    assert (found == 100.0)[~inside].all()


def test_outlines_from_the_side_have_no_teeth(prior):
    frames = clip_frames(clips_of(figures(1, seed=3)[0], 30, frames=3, size=160))
    surfaces, inside = prior(frames), frames[..., 3] > 127
    outline = np.where(inside, surfaces.back, -1.0).max(2)
    outline = outline[:, inside.any((0, 2))]  # [T, rows]
    assert np.median(np.abs(np.diff(outline, 2, axis=1))) < 0.002  # half a pixel


def test_a_slant_that_is_told_tilts_the_surfaces(prior):
    frames = clip_frames(clips_of(box(size=(0.8, 0.1, 0.4)), 0, frames=1, size=96))
    inside = torch.from_numpy(frames[..., 3] > 127)
    for degrees in (-40, 40):
        surfaces = prior(frames, slant=math.radians(degrees))
        middle = torch.from_numpy((surfaces.front + surfaces.back) / 2)
        found = math.degrees(slants(middle, inside)[0])
        assert found * degrees > 0 and abs(found) > 15


def test_depths_scale_with_the_object(prior):
    frames = clip_frames(clips_of(box(), 20, frames=1, size=96))
    wide = np.zeros((1, 192, 192, 4), np.uint8)
    wide[:, 48:144, 48:144] = frames
    near, far = prior(frames), prior(wide)
    inside = frames[0, ..., 3] > 250
    halved = far.front[0, 48:144, 48:144][inside]
    assert np.abs(halved - near.front[0][inside] / 2).max() < 0.01


def test_empty_frames_are_no_error(prior):
    surfaces = prior(np.zeros((2, 64, 64, 4), np.uint8))
    assert np.isfinite(surfaces.front).all()

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from training.shape_prior.assets import CLIP_POSES, HELD_OUT, Asset, split
from training.shape_prior.inference import Prior, likely_slants
from training.shape_prior.losses import losses, total
from training.shape_prior.network import SLANT_BINS, ShapePrior, Sizes, slant_bins
from training.shape_prior.procedural import figures
from training.shape_prior.train import State, Training, shares
from training.shape_prior.validate import inflated
from training.shape_prior.views import PointClouds, Variation, render_clips, slants
from training.shape_prior.weights import load_weights, save_weights

TINY = Sizes(pixels=64, channels=(16, 16, 16, 16), blocks=(1, 1, 1), seeing=2, placing=1)


def box(name="box", size=(0.5, 0.25, 0.3), path=None) -> Asset:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    poses = (corners * size)[None].astype(np.float32)
    colors = np.full((len(faces), 3), 200, np.uint8)
    about = {"repo": "test", "path": path or name}
    return Asset(name, "prop", about, poses, 0, faces, colors, None, None, None)


def clips_of(asset, yaw, frames=2, size=64):
    rng = torch.Generator().manual_seed(0)
    clouds = PointClouds([asset], 60_000)
    turn = torch.tensor([math.radians(yaw)])
    return render_clips(clouds, torch.tensor([0]), frames, size, rng, Variation.none(), turn, 0.0)


@pytest.fixture(scope="module")
def prior():
    return Prior.load()


def clip_frames(clips):
    images = clips.images[0].movedim(1, -1)
    straight = images[..., :3] / images[..., 3:].clamp(min=1e-3)
    return (torch.cat([straight, images[..., 3:]], -1).clamp(0, 1) * 255).byte().numpy()


def test_depths_of_a_box_are_its_own():
    clips = clips_of(box(), yaw=0)
    thickness = (clips.back - clips.front)[clips.mask].median()
    # The box is .5 wide and fills .9 of the frame; its front is a little larger than its middle.
    assert abs(thickness - 0.25 * 0.9 / 0.5) < 0.04
    assert abs((clips.front + clips.back)[clips.mask].mean()) < 0.02


def test_a_turned_board_has_its_angle_as_slant():
    board = box(size=(0.8, 0.02, 0.4))
    for yaw in (-30, 20):
        found = math.degrees(clips_of(board, yaw).slants[0, 0])
        # A camera that moves to the right sees the right side closer.
        assert abs(found + yaw) < 5


def test_slant_of_a_plane():
    x = (torch.arange(64) + 0.5) / 64
    middle = (0.5 * x).expand(64, 64)
    assert abs(slants(middle, torch.ones(64, 64, dtype=torch.bool)).tan() - 0.5) < 0.02


def test_held_out_objects_and_their_namesakes_are_not_trained_on():
    key = json.loads(HELD_OUT.read_text())[0]
    repo, path = key.rsplit("/", 1)
    held = box("pig")
    held = Asset(**{**held.__dict__, "about": {"repo": repo, "path": path}})
    training, held_out = split([held, box("pig", path="another"), box("cart")])
    assert [a.name for a in training] == ["cart"] and held_out == [held]


def test_sixty_objects_are_held_out():
    assert len(set(json.loads(HELD_OUT.read_text()))) == 60


def test_figures_stand_inside_the_sphere_and_differ():
    made = figures(3, seed=1)
    for figure in made:
        assert figure.poses.shape[0] == figure.clips * CLIP_POSES
        assert np.linalg.norm(figure.poses, axis=-1).max() <= 0.5 + 1e-5
        assert figure.faces.max() < figure.poses.shape[1] and len(figure.faces) == len(
            figure.face_colors
        )
    assert np.abs(made[0].poses - made[1].poses).max() > 0.05


def test_every_term_of_the_loss_reaches_the_network():
    clips = clips_of(box(), 30)
    network = ShapePrior(TINY)
    terms = losses(*network(clips.images, clips.slants), clips)
    total(terms).backward()
    assert all(torch.isfinite(term) for term in terms.values())
    untouched = [n for n, p in network.named_parameters() if p.grad is None]
    assert not untouched


def test_training_resumes_where_it_stopped(tmp_path):
    settings = Training(
        assets=tmp_path, out=tmp_path, clips=1, frames=2, sizes=TINY, device="cpu", budget=100
    )
    assets = [box()]
    clouds, chances = PointClouds(assets, 2000), torch.tensor(shares(assets))
    state = State(settings)
    state.train(clouds, chances, 0.2)
    state.save()
    again = State(settings)
    assert (again.step, again.seconds) == (state.step, state.seconds) and again.step > 0
    for name, value in state.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name])
    again.train(clouds, chances, again.seconds + 0.1)
    assert again.step > state.step
    again.export()
    Prior.load(tmp_path / "shape_prior.safetensors")

    (tmp_path / "more").mkdir()
    start = tmp_path / "shape_prior.safetensors"
    more = State(replace(settings, out=tmp_path / "more", start=start))
    for name, value in more.average.items():
        assert (value - again.average[name]).abs().max() < 0.02 * (1 + value.abs().max())


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
    frames = clip_frames(clips_of(box(size=(0.5, 0.3, 0.3)), 25, frames=3, size=96))
    surfaces = prior(frames)
    inside = frames[..., 3] > 127
    assert surfaces.front.shape == frames.shape[:3] and surfaces.back_colors.shape == (
        *frames.shape[:3],
        3,
    )
    assert (surfaces.back[inside] >= surfaces.front[inside]).all()
    assert np.isfinite(surfaces.spreads).all() and (surfaces.spreads[inside] > 0).all()
    thickness = (surfaces.back - surfaces.front)[inside].mean()
    assert 0.1 < thickness < 0.9


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


def test_a_disc_inflates_to_a_sphere():
    place = (torch.arange(64) + 0.5) / 64 - 0.5
    distance = (place**2 + place[:, None] ** 2).sqrt()
    half = inflated((distance < 0.4)[None])[0]
    assert abs(half.max() - 0.4) < 0.01

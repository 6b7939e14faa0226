import json
import math
import os
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.multiprocessing import spawn

from ds4d.multiview.shape_prior.inference import Prior
from ds4d.multiview.shape_prior.network import ShapePrior, Sizes
from tests.training.shape_prior.boxes import box, clips_of
from training.shape_prior.assets import CLIP_POSES, HELD_OUT, Asset, split
from training.shape_prior.losses import COLUMNS, REACH, losses, silhouettes, total
from training.shape_prior.procedural import figures
from training.shape_prior.train import State, Training, join, shares
from training.shape_prior.validate import inflated
from training.shape_prior.views import PointClouds, choose_poses, slants

TINY = Sizes(pixels=64, channels=(16, 16, 16, 16), blocks=(1, 1, 1), seeing=2, placing=1)


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


def lunge() -> Asset:
    """A box that comes towards the camera."""
    still = box(size=(0.2, 0.1, 0.4))
    poses = np.repeat(still.poses, CLIP_POSES, 0)
    poses[:, :, 1] -= np.linspace(0, 0.3, CLIP_POSES)[:, None]
    return replace(still, poses=poses, clips=1)


def test_the_cameras_target_is_the_middle_of_the_box_over_the_clip():
    clips = clips_of(lunge(), yaw=0, frames=CLIP_POSES)
    middle = (clips.front + clips.back)[0] / 2
    first, last = (middle[i][clips.mask[0, i]].mean() for i in (0, -1))
    assert abs(clips.targets[0] - (first + last) / 2) < 0.02
    assert abs(first - last) > 0.2


def test_extents_are_those_of_each_frame_and_have_the_target_in_their_middle():
    clips = clips_of(lunge(), yaw=25, frames=CLIP_POSES)
    nearest, farthest = clips.extents[0].unbind(1)
    for frame, inside in enumerate(clips.mask[0]):
        front, back = clips.front[0, frame][inside], clips.back[0, frame][inside]
        assert abs(front.amin() - nearest[frame]) < 0.02
        assert abs(back.amax() - farthest[frame]) < 0.02
    assert abs(clips.targets[0] - (nearest.amin() + farthest.amax()) / 2) < 0.02


def test_some_animated_objects_are_mixed_with_another_of_their_poses():
    clouds = PointClouds([box(), lunge(), lunge()], 1000)
    objects = torch.arange(3).repeat(400)
    rng = torch.Generator().manual_seed(0)
    poses = choose_poses(clouds, objects, 4, rng, mixture=1.0)
    mixed = (poses.shares != 0).flatten()
    assert not mixed[objects == 0].any()
    assert 0.15 < mixed[objects > 0].float().mean() < 0.35
    starts, sizes = clouds.starts[objects], clouds.sizes[objects] * clouds.poses[objects]
    for rows in (poses.starts, poses.others):
        within = rows - starts[:, None]
        assert ((within >= 0) & (within < sizes[:, None])).all()
    assert (choose_poses(clouds, objects, 4, rng).shares == 0).all()


def test_silhouettes_from_another_azimuth():
    turn = torch.tensor([math.pi / 2, -math.pi / 2])
    clips = clips_of(box(size=(0.5, 0.2, 0.3)), yaw=0)
    front, back, mask = (maps[0] for maps in (clips.front, clips.back, clips.mask))
    across = silhouettes(front, back, mask, turn).sum(2) * 2 * REACH / COLUMNS
    wide, deep = mask[0].any(0).sum() / 64, across.amax(1)
    assert torch.allclose(deep, wide * 0.2 / 0.5, atol=0.04)
    assert silhouettes(front, back, torch.zeros_like(mask), turn).max() < 1e-6


def test_single_pixels_that_stand_out_hardly_move_an_outline():
    clips = clips_of(box(size=(0.5, 0.2, 0.3)), yaw=0)
    front, back, mask = (maps[0] for maps in (clips.front, clips.back, clips.mask))
    spiked = back.clone()
    spiked[:, ::2, back.shape[2] // 2] += 0.08
    turn = torch.tensor([math.pi / 2, -math.pi / 2])
    flat, teeth, moved = (
        silhouettes(front, b, mask, turn).sum() for b in (back, spiked, back + 0.08)
    )
    assert teeth - flat < 0.2 * (moved - flat)


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
    assert made[0].poses.shape != made[1].poses.shape


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


def train_beside(rank: int, folder: Path, port: int) -> None:
    """One of two processes that train together; its weights are written."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}
    os.environ["MASTER_PORT"] = str(port)
    assert join("cpu") == rank
    settings = Training(folder, folder, clips=1, frames=2, sizes=TINY, device="cpu", budget=100)
    state = State(settings, rank)
    state.train(PointClouds([box()], 2000), torch.tensor(shares([box()])), 0.1)
    torch.save((state.step, state.network.state_dict()), folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_processes_that_train_together_keep_the_same_weights(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    spawn(train_beside, (tmp_path, port), nprocs=2)
    (step, weights), (other_step, other) = (torch.load(tmp_path / f"{r}.pt") for r in (0, 1))
    assert step == other_step > 0
    assert all(torch.equal(weight, other[n]) for n, weight in weights.items() if "running" not in n)


def test_a_disc_inflates_to_a_sphere():
    place = (torch.arange(64) + 0.5) / 64 - 0.5
    distance = (place**2 + place[:, None] ** 2).sqrt()
    half = inflated((distance < 0.4)[None])[0]
    assert abs(half.max() - 0.4) < 0.01

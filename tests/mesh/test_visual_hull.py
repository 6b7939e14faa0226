"""Visual hulls of known shapes from their own silhouettes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ds4d.cameras import project, rig_cameras
from ds4d.errors import UserError
from ds4d.mesh.visual_hull import run
from tests.stages import finished

SIZE, RESOLUTION = 128, 40
CAMERAS = rig_cameras(SIZE)


def carve(images: np.ndarray):
    """Events and mesh."""
    return finished(run(images, CAMERAS, RESOLUTION))


def render_silhouettes(*inside_of_ray) -> np.ndarray:
    """Grey views [V, S, S, 4] of the union of shapes, given as masks of the rays that hit them.

    A shape is a function of the camera centre [3] and unit rays [S, S, 3]; 2 x 2 rays per pixel
    give soft edges.
    """
    fine = CAMERAS.resized(2 * SIZE, 2 * SIZE)
    axis = torch.arange(2 * SIZE) + 0.5
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    images = np.full((len(CAMERAS), SIZE, SIZE, 4), 128, np.uint8)
    for view, centre in enumerate(fine.centres()):
        rays = torch.stack([u, v, torch.ones_like(u)], -1) @ torch.linalg.inv(fine.Ks[view]).T
        rays = torch.nn.functional.normalize(rays @ fine.viewmats[view, :3, :3], dim=-1)
        hit = torch.zeros(2 * SIZE, 2 * SIZE, dtype=torch.bool)
        for inside in inside_of_ray:
            hit |= inside(centre, rays)
        alpha = hit.float().reshape(SIZE, 2, SIZE, 2).mean((1, 3))
        images[view, ..., 3] = (alpha * 255).round().byte().numpy()
    return images


def sphere(position, radius):
    def meets(centre, rays):
        to_middle = torch.tensor(position) - centre
        along = (rays * to_middle).sum(-1, keepdim=True)
        return (to_middle - along * rays).norm(dim=-1) < radius

    return meets


def box(low, high):
    def meets(centre, rays):
        first, last = (torch.tensor(low) - centre) / rays, (torch.tensor(high) - centre) / rays
        return torch.minimum(first, last).amax(-1) < torch.maximum(first, last).amin(-1)

    return meets


def volume(mesh) -> float:
    return float(torch.linalg.det(mesh.vertices[mesh.faces]).sum() / 6)


def closed(mesh) -> bool:
    """Every edge is walked once in each direction."""
    edges = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    forth = {tuple(edge) for edge in edges.tolist()}
    return len(forth) == len(edges) and all((b, a) in forth for a, b in forth)


def test_sphere():
    radius = 0.3
    events, mesh = carve(render_silhouettes(sphere((0.0, 0.0, 0.0), radius)))
    # Seven views cannot see a sphere whole: the hull is a little larger, never smaller.
    assert 0.98 < volume(mesh) / (4 / 3 * np.pi * radius**3) < 1.15
    assert closed(mesh)
    assert (mesh.vertices.norm(dim=-1) > 0.97 * radius).all()
    assert events[-1].metrics["iou"] > 0.97
    assert events[-1].step == events[-1].total
    assert events[-1].preview.dtype == np.uint8 and events[-1].preview.shape[-1] == 3
    assert torch.allclose(mesh.colors, torch.full_like(mesh.colors, 128 / 255), atol=0.01)


def test_a_box_off_centre_keeps_its_position():
    low, high = (-0.2, -0.3, -0.35), (0.3, 0.0, 0.1)
    _, mesh = carve(render_silhouettes(box(low, high)))
    # What hides behind the corners in every view stays, so boxes come out larger than spheres.
    true = float(np.prod(np.subtract(high, low)))
    assert 0.97 < volume(mesh) / true < 1.35
    assert torch.allclose(mesh.vertices.amin(0)[[0, 2]], torch.tensor(low)[[0, 2]], atol=0.04)
    assert torch.allclose(mesh.vertices.amax(0)[[0, 2]], torch.tensor(high)[[0, 2]], atol=0.04)


def test_a_mark_on_the_front_is_on_the_front_only():
    images = render_silhouettes(sphere((0.0, 0.0, 0.0), 0.3))
    images[..., :3] = (60, 60, 200)
    middle = slice(SIZE // 2 - 8, SIZE // 2 + 8)
    images[0, middle, middle, :3] = (230, 30, 30)
    _, mesh = carve(images)
    pixels, _ = project(mesh.vertices, CAMERAS[0])
    marked = ((pixels[0] - SIZE / 2).abs() < 6).all(-1)
    front, back = marked & (mesh.vertices[:, 1] < 0), marked & (mesh.vertices[:, 1] > 0)
    assert front.any() and (mesh.colors[front, 0] > 0.7).all()
    assert back.any() and (mesh.colors[back, 0] < 0.4).all()


def test_colours_come_from_the_right_side():
    images = render_silhouettes(sphere((0.0, 0.0, 0.0), 0.3))
    images[..., :3] = (128, 128, 128)
    images[2, ..., :3] = (0, 200, 0)  # azimuth 90: the camera at +X
    _, mesh = carve(images)
    right = mesh.vertices[:, 0] > 0.27
    left = mesh.vertices[:, 0] < -0.27
    assert (mesh.colors[right, 1] - mesh.colors[right, 0]).mean() > 0.15
    assert (mesh.colors[left, 1] - mesh.colors[left, 0]).abs().mean() < 0.02


@pytest.mark.parametrize("wrong", [1, 4, 6])
def test_one_wrong_view_does_not_remove_a_limb(wrong):
    body = box((-0.2, -0.15, -0.1), (0.2, 0.15, 0.3))
    limb = box((-0.06, -0.06, -0.4), (0.06, 0.06, -0.1))
    images = render_silhouettes(body, limb)
    images[wrong] = render_silhouettes(body)[wrong]
    events, mesh = carve(images)
    assert mesh.vertices[:, 2].min() < -0.37
    below = mesh.vertices[mesh.vertices[:, 2] < -0.2]
    assert below[:, :2].abs().max() < 0.15  # overruling a view is not forgetting the others
    assert events[-1].metrics["iou"] > 0.95


def test_nothing_remains_outside_the_front_silhouette():
    images = render_silhouettes(sphere((0.0, 0.0, 0.0), 0.25))
    images[0, :, : SIZE // 2, 3] = 0  # the real view shows only the right half
    events, mesh = carve(images)
    assert mesh.vertices[:, 0].min() > -0.03
    assert events[-1].metrics["iou"] > 0.95


def test_parts_apart_are_both_kept():
    _, mesh = carve(
        render_silhouettes(sphere((-0.25, 0.0, 0.1), 0.15), sphere((0.25, 0.0, 0.0), 0.1))
    )
    near = torch.cdist(mesh.vertices, torch.tensor([[-0.25, 0.0, 0.1], [0.25, 0.0, 0.0]]))
    assert (near.amin(1) < 0.2).all()
    assert (near.argmin(1) == 0).any() and (near.argmin(1) == 1).any()


def test_an_empty_front_view_is_an_error():
    images = render_silhouettes(sphere((0.0, 0.0, 0.0), 0.3))
    images[0, ..., 3] = 0
    with pytest.raises(UserError, match="No object"):
        carve(images)


def test_silhouettes_without_intersection_are_an_error():
    images = render_silhouettes(sphere((0.0, 0.0, 0.0), 0.1))
    images[1:, ..., 3] = 0
    images[1:, :16, :16, 3] = 255
    with pytest.raises(UserError, match="nothing in common"):
        carve(images)

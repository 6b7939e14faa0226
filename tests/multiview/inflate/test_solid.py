"""The solid between two surfaces: closed, exact from the front, seen from the right side."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import binary_dilation, binary_fill_holes

from ds4d.cameras import RADIUS, orbit_cameras, project
from ds4d.multiview.inflate.solid import Solid, build, render

SIZE = 96
FRONT = orbit_cameras([0.0], size=SIZE)
PIXEL = RADIUS / float(FRONT.Ks[0, 0, 0])  # world units, at the target


def disc(radius: float) -> np.ndarray:
    return distance() < radius


def distance() -> np.ndarray:
    """Distance of each pixel from the middle, pixels."""
    rows, columns = np.indices((SIZE, SIZE)) + 0.5 - SIZE / 2
    return np.hypot(rows, columns)


def slab(inside: np.ndarray, half=0.1, slope=0.0, colors=None) -> Solid:
    """A board along the silhouette, of a half thickness and a slope of depth over columns."""
    plane = RADIUS + slope * PIXEL * np.tile(np.arange(SIZE) - SIZE / 2, (SIZE, 1))
    colors = np.full((2, SIZE, SIZE, 3), 0.5) if colors is None else colors
    return build(inside, np.stack([plane - half, plane + half]), colors, FRONT)


def ball(radius: float) -> Solid:
    half = PIXEL * np.sqrt(np.maximum(radius**2 - distance() ** 2, 0))
    return slab(disc(radius), half)


def masks(solid: Solid, azimuths, elevations=0.0) -> np.ndarray:
    return render(solid, orbit_cameras(azimuths, elevations, size=SIZE))[..., 3] > 127


def width(mask: np.ndarray) -> int:
    return np.ptp(np.nonzero(mask)[1])


def test_a_sphere_looks_the_same_from_every_side():
    areas = masks(ball(30), [0, 45, 90, 200]).sum((1, 2))
    assert areas.max() < 1.12 * areas.min()


def test_the_front_reproduces_silhouette_and_colours():
    mask = disc(24)
    mask[40:56, 10:90] = True  # arms
    mask[70:90, 45:47] = True  # a thin leg
    colors = np.broadcast_to([0.8, 0.4, 0.1], (2, SIZE, SIZE, 3)).copy()
    colors[:, :, 48:] = [0.1, 0.2, 0.8]
    view = render(slab(mask, slope=0.4, colors=colors), FRONT)[0]
    shown = view[..., 3] > 127
    assert (shown & mask).sum() / (shown | mask).sum() > 0.97
    assert shown[86, 45:47].all()
    away = shown.copy()
    away[:, 46:50] = False  # the colours' border
    assert np.abs(view[away][:, :3] / 255 - colors[0][away]).max() < 0.02


def test_the_camera_at_positive_azimuth_sees_the_right_side():
    colors = np.broadcast_to([0.9, 0.1, 0.1], (2, SIZE, SIZE, 3)).copy()
    colors[:, :, 48:] = [0.1, 0.1, 0.9]
    half = PIXEL * np.sqrt(np.maximum(30**2 - distance() ** 2, 0))
    solid = slab(disc(30), half, colors=colors)
    right, left = render(solid, orbit_cameras([90.0, -90.0], size=SIZE))
    for view, channel in ((right, 2), (left, 0)):
        shown = view[view[..., 3] > 127][:, :3]
        assert (shown[:, channel] > 150).mean() > 0.9


def test_the_back_shows_the_colours_of_the_last_surface():
    colors = np.zeros((2, SIZE, SIZE, 3))
    colors[1] = [0.2, 0.6, 0.2]
    back = render(slab(disc(30), colors=colors), orbit_cameras([180.0], size=SIZE))[0]
    assert np.abs(back[48, 48, :3] - np.array([51, 153, 51])).max() <= 1


def test_the_solid_is_closed_and_faces_outwards():
    mask = disc(20)
    mask[30:66, 20:76] = True
    mask[40:44, 40:44] = False  # a hole through it
    solid = slab(mask, slope=-0.5)
    faces = solid.faces
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert {tuple(edge) for edge in edges} == {tuple(edge[::-1]) for edge in edges}
    a, b, c = (solid.vertices[faces[:, k]].astype(float) for k in range(3))
    volume = (np.cross(a, b) * c).sum() / 6
    assert abs(volume - mask.sum() * PIXEL**2 * 0.2) < 0.15 * volume


def test_no_view_has_holes_and_the_solid_stays_on_its_rays():
    mask = disc(20)
    mask[30:66, 20:76] = True
    solid = slab(mask, slope=-0.5)
    for shown in masks(solid, [30, 90, 150, 270], [20, -10, 20, 10]):
        assert not (binary_fill_holes(shown) & ~shown).any()
    pixels, _ = project(torch.from_numpy(solid.vertices), FRONT)
    columns, rows = pixels[0].numpy().clip(0, SIZE - 1).astype(int).T
    assert binary_dilation(mask)[rows, columns].all()


def test_a_slanted_board_is_broadside_at_its_azimuth():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[44:52, 16:80] = True
    broad, thin = masks(slab(mask, half=0.02, slope=1.0), [45.0, -45.0])
    assert width(broad) > 2.5 * width(thin)


def test_nothing_is_drawn_of_an_empty_silhouette():
    solid = slab(np.zeros((SIZE, SIZE), bool))
    assert render(solid, FRONT).max() == 0 and len(solid.mesh().faces) == 0


def test_the_mesh_keeps_shape_and_colours():
    solid = ball(20)
    mesh = solid.mesh()
    np.testing.assert_array_equal(mesh.vertices.numpy(), solid.vertices)
    torch.testing.assert_close(mesh.colors, torch.full_like(mesh.colors, 0.5))

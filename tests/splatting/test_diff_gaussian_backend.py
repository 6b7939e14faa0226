"""The adapter of diff_gaussian_rasterization, against a stand-in for that package.

The stand-in has the package's interface and conventions, as its versions have them: matrices of row
vectors, clip space, pixel centres at whole numbers, rotations that are not normalised, the gradient
of the centres in clip space. It draws with the specification (twin.py), so an image or a gradient
that is wrong was handed over or taken back wrongly.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import NamedTuple

import pytest
import torch

from ds4d import pipeline
from ds4d.config import Config, MachineConfig
from ds4d.errors import UserError
from ds4d.run.workspace import Workspace
from ds4d.splatting import rasterize
from ds4d.splatting.rasterize import DEVICES, check
from tests.splatting.test_rasterize import NAMES, gradients, named, scene, steady_pixels, views

BACKEND = "diff_gaussian"
CUDA = torch.device("cuda")


class OldSettings(NamedTuple):
    image_height: int
    image_width: int
    tanfovx: float
    tanfovy: float
    bg: torch.Tensor
    scale_modifier: float
    viewmatrix: torch.Tensor
    projmatrix: torch.Tensor
    sh_degree: int
    campos: torch.Tensor
    prefiltered: bool
    debug: bool


class NewSettings(NamedTuple):
    image_height: int
    image_width: int
    tanfovx: float
    tanfovy: float
    bg: torch.Tensor
    scale_modifier: float
    viewmatrix: torch.Tensor
    projmatrix: torch.Tensor
    sh_degree: int
    campos: torch.Tensor
    prefiltered: bool
    debug: bool
    antialiasing: bool


def intrinsics(settings):
    """Row-vector matrices back to a world-to-camera matrix and K with pixel centres at +0.5."""
    W, H = settings.image_width, settings.image_height
    viewmat = settings.viewmatrix.T.double()
    clip = settings.projmatrix.T.double() @ torch.linalg.inv(viewmat)
    focal = [W / (2 * settings.tanfovx), H / (2 * settings.tanfovy)]  # of the covariances
    assert torch.allclose(
        clip.diagonal()[:2], clip.new_tensor([2 * focal[0] / W, 2 * focal[1] / H])
    )
    assert torch.allclose(clip[3], clip.new_tensor([0, 0, 1, 0]), atol=1e-5)  # w is the depth
    assert torch.allclose(clip[:2, 3], clip.new_zeros(2), atol=1e-5)
    centre = torch.linalg.inv(viewmat)[:3, 3]
    assert torch.allclose(settings.campos.double(), centre, atol=1e-5)
    K = torch.eye(3, dtype=torch.float64)
    K[0, 0], K[1, 1], K[0, 1], K[1, 0] = *focal, clip[0, 1] * W / 2, clip[1, 0] * H / 2
    for axis, side in enumerate((W, H)):  # whole numbers are pixel centres there
        K[axis, 2] = ((clip[axis, 2] + 1) * side - 1) / 2 + 0.5
    return viewmat, K


def pretend(monkeypatch, twin, results, settings_type):
    """Install the stand-in; `results` makes the returned tuple of colour, depth and alpha."""

    class GaussianRasterizer(torch.nn.Module):
        def __init__(self, raster_settings):
            super().__init__()
            self.raster_settings = raster_settings

        def forward(
            self, means3D, means2D, opacities, shs=None, colors_precomp=None, scales=None,
            rotations=None, cov3D_precomp=None,
        ):  # fmt: skip
            settings, N = self.raster_settings, len(means3D)
            assert shs is None and cov3D_precomp is None
            assert opacities.shape == (N, 1) and colors_precomp.shape == means2D.shape == (N, 3)
            assert scales.is_contiguous() and rotations.is_contiguous()
            assert torch.allclose(rotations.norm(dim=-1), torch.ones(N), atol=1e-5)
            W, H = settings.image_width, settings.image_height
            viewmat, K = intrinsics(settings)
            moved = (means2D - means2D.detach())[:, :2]  # its value is not looked at
            color, alpha, depth = twin.rasterize_one(
                means3D.double(), rotations.double(), scales.double(), opacities[:, 0].double(),
                colors_precomp.double(), viewmat, K, W, H, settings.bg.double(),
                moved.double() * torch.tensor([W / 2, H / 2]),
                getattr(settings, "antialiasing", False),
            )  # fmt: skip
            planes = [x.permute(2, 0, 1).float() for x in (color, depth * alpha, alpha)]
            return results(planes[0], planes[1], planes[2], torch.ones(N, dtype=torch.int32))

    package = ModuleType("diff_gaussian_rasterization")
    package.GaussianRasterizer = GaussianRasterizer
    package.GaussianRasterizationSettings = settings_type
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setitem(DEVICES, "diff_gaussian", ("cpu",))


VERSIONS = {
    "inria, first": (lambda color, depth, alpha, radii: (color, radii), OldSettings),
    "inria, later": (lambda color, depth, alpha, radii: (color, radii, 1 / depth), NewSettings),
    "depth": (lambda color, depth, alpha, radii: (color, radii, depth), OldSettings),
    "depth, alpha": (lambda color, depth, alpha, radii: (color, radii, depth, alpha), OldSettings),
    "normals": (
        lambda color, depth, alpha, radii: (color, depth, color, alpha, radii, None),
        OldSettings,
    ),
}


@pytest.fixture
def later(monkeypatch, twin):
    """Inria's package as it is now."""
    pretend(monkeypatch, twin, *VERSIONS["inria, later"])


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_draws_the_same(monkeypatch, twin, version):
    pretend(monkeypatch, twin, *VERSIONS[version])
    assert_as_specified(twin)


CASES = {
    "anti-aliased": {"antialiased": True, "size": 0.01},
    "one channel": {"D": 1},
    "many channels": {"D": 8},
    "own Gaussians per camera": {"own": NAMES},
    "own means per camera": {"own": ("means", "opacities")},
}


@pytest.mark.parametrize("case", CASES)
def test_every_shape_that_can_be_drawn(later, twin, case):
    assert_as_specified(twin, **CASES[case])


def assert_as_specified(twin, antialiased=False, own=(), **options):
    """Images and all gradients are those of the specification; the principal point is off centre,
    the pixels are not square and the image is not either."""
    C, parts = 2, scene(N=25, **options)
    for index, name in enumerate(own):
        noise = torch.randn(C, *parts[name].shape, generator=torch.Generator().manual_seed(index))
        parts[name] = parts[name] * (1 + 0.03 * noise)
    cameras = named(*views(C))
    g = torch.Generator().manual_seed(9)
    D, N = parts["colors"].shape[-1], parts["means"].shape[-2]
    parts["backgrounds"] = torch.rand(C, D, generator=g)
    parts["means2d_offsets"] = torch.zeros(C, N, 2)
    steady = steady_pixels(twin, parts, cameras, antialiased=antialiased)
    assert steady.float().mean() > 0.9
    weights = [torch.randn(*steady.shape[:3], k, generator=g) * steady for k in (D, 1, 1)]

    inputs = [x.requires_grad_() for x in parts.values()]
    images = rasterize(**parts, **cameras, antialiased=antialiased, backend=BACKEND)
    expected = twin.rasterize(**parts, **cameras, antialiased=antialiased)
    weights[2] = weights[2] * (expected[1] > 0.05)  # the depth of next to nothing is noise
    for image, other in zip(images[:2], expected[:2], strict=True):
        assert torch.allclose(image * steady, other.float() * steady, atol=3e-5)
    visible = steady & (expected[1] > 0.05)
    assert torch.allclose(images[2] * visible, expected[2].float() * visible, rtol=2e-4)
    ours, theirs = gradients(images, weights, inputs), gradients(expected, weights, inputs)
    for name, one, other in zip(parts, ours, theirs, strict=True):
        worst = (one - other).abs().max() / other.abs().max()
        assert worst < 3e-4, name


def test_where_nothing_is_drawn_depth_is_zero_and_the_background_shines(later):
    parts, cameras = scene(N=3), named(*views(1))
    parts["means"] = parts["means"] + 100
    backgrounds = torch.tensor([[0.2, 0.4, 0.6]])
    parts["backgrounds"] = backgrounds
    colors, alphas, depths = rasterize(**parts, **cameras, backend=BACKEND)
    assert alphas.max() == depths.max() == 0
    assert torch.equal(colors, backgrounds[:, None, None].expand_as(colors))


def test_what_it_cannot_do_is_refused(monkeypatch, twin):
    pretend(monkeypatch, twin, *VERSIONS["depth, alpha"])
    parts, cameras = scene(N=3), named(*views(1))
    with pytest.raises(UserError, match="anti-aliasing"):
        rasterize(**parts, **cameras, antialiased=True, backend=BACKEND)
    with pytest.raises(ValueError, match="means2d_offsets"):
        rasterize(**parts, **cameras, means2d_offsets=torch.ones(1, 3, 2), backend=BACKEND)


def test_without_a_gpu_or_the_package_one_sentence_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "diff_gaussian_rasterization", None)
    with pytest.raises(UserError, match="does not draw on a CPU"):
        check("diff_gaussian", torch.device("cpu"))
    with pytest.raises(UserError, match="does not draw on a GPU"):
        check("numba", CUDA)
    with pytest.raises(UserError, match="diff_gaussian_rasterization cannot be used") as caught:
        check("diff_gaussian", CUDA)
    assert "pip install" in caught.value.hint and "commercial" in caught.value.hint
    check("auto", CUDA)
    check("triton", CUDA)


def test_tensors_on_another_device_are_refused():
    with pytest.raises(ValueError, match="diff_gaussian draws tensors on"):
        rasterize(**scene(N=3), **named(*views(1)), backend=BACKEND)


def test_a_run_that_cannot_draw_ends_before_any_work(tmp_path):
    machine = MachineConfig(device="cpu", rasterizer="diff_gaussian")
    run = pipeline.generate(tmp_path, Workspace(tmp_path / "run"), Config(machine=machine))
    with pytest.raises(UserError, match="rasterizer diff_gaussian"):
        next(run)
    assert not (tmp_path / "run" / "clip").exists()

"""The renderer against its specification (twin.py), and what anyone may rely on."""

from __future__ import annotations

import pytest
import torch

from ds4d.cameras import orbit_cameras
from ds4d.splatting import rasterize

NAMES = ("means", "quats", "scales", "opacities", "colors")


def scene(N=60, D=3, seed=0, size=0.05, spread=0.5):
    """Random Gaussians around the origin, by name; some outside every view."""
    g = torch.Generator().manual_seed(seed)
    return {
        "means": spread * (2 * torch.rand(N, 3, generator=g) - 1),
        "quats": torch.randn(N, 4, generator=g) * 2,
        "scales": size * torch.exp(0.7 * torch.randn(N, 3, generator=g)),
        "opacities": 0.05 + 0.9 * torch.rand(N, generator=g),
        "colors": torch.rand(N, D, generator=g),
    }


def views(C=2, small=False):
    """C cameras around the origin whose images are no multiple of a tile."""
    width, height = (21, 18) if small else (75, 37)
    cameras = orbit_cameras([40.0 * i for i in range(C)], [15.0 * i for i in range(C)], size=height)
    Ks = cameras.Ks.clone()
    Ks[:, 0, 0] *= 1.1
    Ks[:, 0, 2] = width / 2 + 1.5
    return cameras.viewmats, Ks, width, height


def gradients(images, weights, inputs):
    """Gradients of a fixed functional of the images."""
    loss = sum((image * weight).sum() for image, weight in zip(images, weights, strict=True))
    return torch.autograd.grad(loss, inputs)


def steady_pixels(twin, parts, cameras, **options):
    """[C, H, W, 1]: pixels whose image does not hang on the rounding of a threshold."""
    nudged = {**parts, "opacities": parts["opacities"] * (1 + 3e-5)}
    one = twin.rasterize(**parts, **cameras, **options)[1]
    other = twin.rasterize(**nudged, **cameras, **options)[1]
    return (one - other).abs() < 2e-4


def named(viewmats, Ks, width, height):
    return {"viewmats": viewmats, "Ks": Ks, "width": width, "height": height}


CASES = {
    "plain": {},
    "antialiased": {"antialiased": True, "size": 0.01},
    "one camera, one channel": {"C": 1, "D": 1},
    "many channels": {"D": 17},
    "own Gaussians per camera": {"own": NAMES},
    "own means per camera": {"own": ("means", "opacities")},
    "large and opaque": {"N": 300, "size": 0.12, "opaque": True},
    "around the camera": {"spread": 2.5, "N": 200},
    "needles": {"size": 0.3, "thin": 300},
}


@pytest.mark.parametrize("case", CASES)
def test_images_and_gradients_match_the_twin(twin, backend, case):
    small = backend == "triton"  # interpreted here
    options = dict(CASES[case])
    if small:
        options["N"] = min(options.get("N", 60) // 5, 15)
    C, own = options.pop("C", 2), options.pop("own", ())
    opaque, antialiased = options.pop("opaque", False), options.pop("antialiased", False)
    thin = options.pop("thin", 1)
    parts = scene(**options)
    parts["scales"] = parts["scales"] / torch.tensor([1, thin, thin])
    if opaque:
        parts["opacities"] = 0.9 + 0.1 * parts["opacities"]
    for index, name in enumerate(own):
        noise = torch.randn(C, *parts[name].shape, generator=torch.Generator().manual_seed(index))
        parts[name] = parts[name] * (1 + 0.03 * noise)
    cameras = named(*views(C, small))
    g = torch.Generator().manual_seed(9)
    D, N = parts["colors"].shape[-1], parts["means"].shape[-2]
    parts["backgrounds"] = torch.rand(C, D, generator=g)
    parts["means2d_offsets"] = torch.randn(C, N, 2, generator=g)

    steady = steady_pixels(twin, parts, cameras, antialiased=antialiased)
    assert steady.float().mean() > 0.9
    weights = [torch.randn(*steady.shape[:3], k, generator=g) * steady for k in (D, 1, 1)]

    inputs = [x.requires_grad_() for x in parts.values()]
    images = rasterize(**parts, **cameras, antialiased=antialiased, backend=backend)
    expected = twin.rasterize(**parts, **cameras, antialiased=antialiased)
    weights[2] = weights[2] * (expected[1] > 0.05)  # the depth of next to nothing is noise
    for image, other in zip(images[:2], expected[:2], strict=True):
        assert torch.allclose(image * steady, other.float() * steady, atol=2e-5)
    visible = steady & (expected[1] > 0.05)
    assert torch.allclose(images[2] * visible, expected[2].float() * visible, rtol=1e-4)

    ours, theirs = gradients(images, weights, inputs), gradients(expected, weights, inputs)
    for name, one, other in zip(parts, ours, theirs, strict=True):
        worst = (one - other).abs().max() / other.abs().max().clamp(min=1e-6)
        assert worst < 1e-4, name


def test_rendering_without_gradients_gives_the_same_image(backend):
    small = backend == "triton"  # interpreted here
    parts, cameras = scene(N=10 if small else 60), views(2, small)
    still = rasterize(**parts, **named(*cameras), backend=backend)
    parts["means"].requires_grad_()
    moving = rasterize(**parts, **named(*cameras), backend=backend)
    assert not still[0].requires_grad and moving[0].requires_grad
    assert all(torch.equal(one, other) for one, other in zip(still, moving, strict=True))


def test_the_order_of_the_gaussians_does_not_matter(backend):
    small = backend == "triton"  # interpreted here
    N = 30 if small else 200
    parts, cameras = scene(N=N), named(*views(2, small))
    shuffle = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    one = rasterize(**parts, **cameras, backend=backend)
    other = rasterize(**{name: x[shuffle] for name, x in parts.items()}, **cameras, backend=backend)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_shared_gaussians_equal_a_copy_for_each_camera(backend):
    small = backend == "triton"  # interpreted here
    parts, cameras = scene(N=10 if small else 60), named(*views(2, small))
    copies = {name: x.expand(2, *x.shape) for name, x in parts.items()}
    shared = rasterize(**parts, **cameras, backend=backend)
    copied = rasterize(**copies, **cameras, backend=backend)
    assert all(torch.equal(a, b) for a, b in zip(shared, copied, strict=True))


def test_every_run_gives_the_same_bits(backend):
    small = backend == "triton"  # interpreted here
    C, N = (1, 8) if small else (3, 2000)
    parts, cameras = scene(N=N, size=0.03), named(*views(C, small))
    inputs = [x.requires_grad_() for x in parts.values()]
    weights = [
        torch.randn(C, cameras["height"], cameras["width"], k, generator=torch.Generator())
        for k in (3, 1)
    ]
    runs = []
    for _ in range(2 if small else 4):
        images = rasterize(**parts, **cameras, backend=backend)
        runs.append((*images, *gradients(images[:2], weights, inputs)))
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], run, strict=True))


def test_nothing_behind_the_camera_is_drawn(backend):
    viewmats, Ks, width, height = views(1)
    parts = scene()
    away = -3 * torch.linalg.inv(viewmats)[0, :3, 2]  # behind the camera, on its axis
    centre = torch.linalg.inv(viewmats)[0, :3, 3]
    parts["means"] = 0.1 * parts["means"] + centre + away
    colors, alphas, depths = rasterize(
        **parts, **named(viewmats, Ks, width, height), backend=backend
    )
    assert colors.abs().max() == alphas.max() == depths.max() == 0


@pytest.mark.parametrize("N", [0, 5])
def test_an_empty_view_shows_the_background_and_has_zero_gradients(backend, N):
    small = backend == "triton"  # interpreted here
    parts, cameras = scene(N=N), named(*views(2, small))
    parts["means"] = parts["means"] + 100.0
    inputs = [x.requires_grad_() for x in parts.values()]
    backgrounds = torch.tensor([[0.2, 0.4, 0.6], [0.1, 0.0, 1.0]], requires_grad=True)
    colors, alphas, _ = rasterize(**parts, **cameras, backgrounds=backgrounds, backend=backend)
    assert torch.equal(colors, backgrounds[:, None, None].expand_as(colors))
    assert alphas.max() == 0
    for gradient in torch.autograd.grad(colors.sum(), inputs):
        assert gradient.abs().sum() == 0


def test_the_gradient_of_the_background_is_what_shines_through(backend):
    small = backend == "triton"  # interpreted here
    parts, cameras = scene(N=10 if small else 60), named(*views(2, small))
    backgrounds = torch.zeros(2, 3, requires_grad=True)
    colors, alphas, _ = rasterize(**parts, **cameras, backgrounds=backgrounds, backend=backend)
    (gradient,) = torch.autograd.grad(colors.sum(), backgrounds)
    expected = (1 - alphas).sum((1, 2)).expand(2, 3)
    assert torch.allclose(gradient, expected, rtol=1e-5)


def test_a_near_opaque_gaussian_hides_a_far_one(backend):
    cameras = orbit_cameras([0.0], size=32)
    parts = {
        "means": torch.tensor([[0.0, 0.3, 0.0], [0.0, -0.3, 0.0]]),  # the second is nearer
        "quats": torch.tensor([[1.0, 0, 0, 0]]).repeat(2, 1),
        "scales": torch.full((2, 3), 0.2),
        "opacities": torch.full((2,), 0.99),
        "colors": torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]),
    }
    colors, _, depths = rasterize(
        **parts, **named(cameras.viewmats, cameras.Ks, 32, 32), backend=backend
    )
    middle = colors[0, 16, 16]
    assert middle[1] > 0.95 and middle[0] < 0.02
    assert abs(depths[0, 16, 16, 0] - (1.866 - 0.3)) < 0.02


def test_the_image_is_the_right_side_up(backend):
    cameras = orbit_cameras([0.0], size=64)
    parts = {
        "means": torch.tensor([[0.3, 0.0, 0.0], [0.0, 0.0, 0.3]]),
        "quats": torch.tensor([[1.0, 0, 0, 0]]).repeat(2, 1),
        "scales": torch.full((2, 3), 0.03),
        "opacities": torch.full((2,), 0.9),
        "colors": torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]),
    }
    colors, *_ = rasterize(**parts, **named(cameras.viewmats, cameras.Ks, 64, 64), backend=backend)
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    for channel, (row, column) in {0: (31.5, 50.7), 2: (12.3, 31.5)}.items():
        weight = colors[0, ..., channel] / colors[0, ..., channel].sum()
        assert abs((weight * rows).sum() - row) < 0.5
        assert abs((weight * columns).sum() - column) < 0.5


def test_offsets_move_the_image_and_their_gradient_is_the_finite_difference(backend):
    small = backend == "triton"  # interpreted here
    parts, cameras = scene(N=20, size=0.1), named(*views(2, small))
    g = torch.Generator().manual_seed(3)
    weight = torch.randn(2, cameras["height"], cameras["width"], 3, generator=g)
    offsets = torch.zeros(2, len(parts["means"]), 2, requires_grad=True)
    colors, *_ = rasterize(**parts, **cameras, means2d_offsets=offsets, backend=backend)
    (gradient,) = torch.autograd.grad((colors * weight).sum(), offsets)

    def loss(offsets):
        colors, *_ = rasterize(**parts, **cameras, means2d_offsets=offsets, backend=backend)
        return (colors.double() * weight).sum()

    direction = torch.randn(offsets.shape, generator=g)
    difference = (loss(0.02 * direction) - loss(-0.02 * direction)) / 0.04
    assert (
        abs(difference - (gradient * direction).sum()) < 0.01 * (gradient * direction).abs().sum()
    )


def test_broken_gaussians_vanish_and_leave_the_others_alone(backend):
    small = backend == "triton"  # interpreted here
    parts, cameras = scene(N=12 if small else 30), named(*views(2, small))
    kept = rasterize(**{name: x[4:] for name, x in parts.items()}, **cameras, backend=backend)
    parts["means"][0] = float("nan")
    parts["quats"][1] = 0.0
    parts["scales"][2] = float("inf")
    parts["opacities"][3] = float("nan")
    images = rasterize(**parts, **cameras, backend=backend)
    assert all(torch.equal(a, b) for a, b in zip(images, kept, strict=True))


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("means", torch.zeros(60, 2)),
        ("quats", torch.zeros(59, 4)),
        ("scales", torch.zeros(3, 60, 3)),
        ("opacities", torch.zeros(60, 1)),
        ("colors", torch.zeros(61, 3)),
        ("viewmats", torch.zeros(4, 4)),
        ("Ks", torch.zeros(1, 3, 3)),
        ("backgrounds", torch.zeros(3)),
        ("means2d_offsets", torch.zeros(60, 2)),
        ("means", torch.zeros(60, 3, dtype=torch.float64)),
        ("Ks", torch.zeros(2, 3, 3, requires_grad=True)),
    ],
)
def test_what_does_not_fit_is_named(name, wrong):
    arguments = {**scene(), **named(*views()), name: wrong}
    with pytest.raises(ValueError, match=name):
        rasterize(**arguments)


def test_a_backend_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="vulkan"):
        rasterize(**scene(N=3), **named(*views(1)), backend="vulkan")

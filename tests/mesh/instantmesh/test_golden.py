"""The reconstruction model against stored results of the official implementation."""

from __future__ import annotations

import json

import pytest
import torch

from ds4d.cameras import orbit_cameras, rig_cameras
from ds4d.mesh.instantmesh.cameras import SCALE, camera_vectors
from ds4d.mesh.instantmesh.model import BASE, LARGE, LRM, Sizes, lrm_state
from ds4d.weights import fill, read_state
from tests.paths import GOLDEN, golden_cases
from tests.stages import finished

RECORDS = GOLDEN / "g2"
CASES = [path.parent for path in golden_cases("g2/case*/tensors.safetensors")]


@pytest.fixture(scope="module")
def lrm() -> LRM:
    """The tiny model that the cases were made with; its heads are narrower than published ones."""
    settings = json.loads((RECORDS / "config_tiny.json").read_text())
    lrm, vit = settings["lrm"], settings["vit"]
    sizes = Sizes(
        layers=lrm["transformer_layers"], plane_dim=lrm["triplane_dim"],
        dim=lrm["transformer_dim"], heads=lrm["transformer_heads"],
        plane_grid=lrm["triplane_low_res"], encoder_layers=vit["num_hidden_layers"],
        encoder_dim=vit["hidden_size"], encoder_heads=vit["num_attention_heads"],
        encoder_hidden=vit["intermediate_size"], patch=vit["patch_size"],
        patch_grid=vit["image_size"] // vit["patch_size"],
    )  # fmt: skip
    model = LRM(sizes).eval().requires_grad_(False)
    file = RECORDS / "instant_nerf_tiny.ckpt"
    fill(model, lrm_state(read_state(file), file), file)
    return model


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_golden_reconstruction(lrm, folder):
    from safetensors.torch import load_file

    case = load_file(folder / "tensors.safetensors")

    def check(name, value):
        expected = case[name]
        error = (value.reshape(expected.shape) - expected).abs().max() / expected.abs().max()
        assert error < 1e-4, f"{name}: {error:.1e}"

    pixels, cameras = case["pixel_values"], case["input_cameras"][0]
    mean, deviation = torch.tensor(
        [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]
    )[:, :, None, None]  # fmt: skip
    check("pixel_values", (case["images"][0] - mean) / deviation)
    check("camera_embeddings", lrm.encoder.camera_embedder(cameras))
    embeddings = lrm.encoder.model["embeddings"]
    side = pixels.shape[-1] // embeddings.patch_embeddings["projection"].stride[0]
    check("pos_embed_used", embeddings.positions(side, side))
    check("vit_embeddings", embeddings(pixels))

    layers, tokens = finished(lrm.encoder.steps(pixels, cameras))
    for index, state in enumerate(layers):
        check(f"vit_layer{index}_out", state)
    check("encoder_features", tokens)

    layers, planes = finished(lrm.transformer.steps(tokens.flatten(0, 1)[None]))
    for index, state in enumerate(layers):
        check(f"transformer_layer{index}_out", state)
    check("transformer_norm_out", lrm.transformer.norm(layers[-1]))
    check("planes", planes)

    density, colors = lrm.synthesizer(planes, case["points"][0])
    check("points_sigma", density)
    check("points_rgb", colors)
    axis = torch.linspace(-1, 1, case["grid6_sigma"].shape[1])
    density, colors = lrm.synthesizer(planes, torch.cartesian_prod(axis, axis, axis))
    check("grid6_sigma", density)
    check("grid6_rgb", colors)


def test_golden_cameras():
    from safetensors.torch import load_file

    golden = load_file(RECORDS / "cameras.safetensors")
    vectors = camera_vectors(rig_cameras(64)[list(range(1, 7))])
    assert (vectors - golden["zero123plus_input_cameras_default"]).abs().max() < 1e-5

    # Not our rig: other radii, fields of view and elevations.
    rig = (30.0, 90.0, 150.0, 210.0, 270.0, 330.0), (20.0, -10.0) * 3
    wide = camera_vectors(orbit_cameras(*rig, size=48, radius=2 / SCALE, fov_deg=50.0))
    assert (wide - golden["zero123plus_input_cameras_radius2_fov50"]).abs().max() < 1e-5
    orbit = orbit_cameras((0.0, 90.0, 180.0, 270.0), 30.0, size=64, radius=2.5 / SCALE)
    poses = camera_vectors(orbit)[:, :12].reshape(4, 3, 4)
    assert (poses - golden["circular_c2w_M4_r2.5_e30"][:, :3]).abs().max() < 1e-5


@pytest.mark.parametrize(("sizes", "name"), [(LARGE, "large"), (BASE, "base")])
def test_golden_keys(sizes, name):
    """The published checkpoints fit key for key, shape for shape, and tell their own sizes."""
    lines = (RECORDS / f"keys_{name}.txt").read_text().splitlines()
    published = {}
    for line in lines:
        if line and not line.startswith("#"):
            key, rest = line.split(" ", 1)
            published[key] = tuple(json.loads(rest.rsplit(" ", 1)[0]))
    with torch.device("meta"):
        ours = LRM(sizes).state_dict()
        assert {key: tuple(value.shape) for key, value in ours.items()} == published
        assert Sizes.of({key: torch.empty(shape) for key, shape in published.items()}) == sizes

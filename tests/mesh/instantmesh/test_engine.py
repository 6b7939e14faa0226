"""InstantMesh from its checkpoint to a mesh in our world, with small random weights."""

from __future__ import annotations

import gc
import json
import weakref

import numpy as np
import pytest
import torch

from ds4d.cameras import RADIUS, rig_cameras
from ds4d.config import MachineConfig
from ds4d.errors import UserError
from ds4d.mesh import align
from ds4d.mesh.instantmesh import engine
from ds4d.mesh.instantmesh.cameras import camera_vectors
from ds4d.mesh.instantmesh.model import LRM, load
from ds4d.mesh.instantmesh.triplane import Synthesizer
from ds4d.run.events import Event
from tests.fakes import instantmesh as tiny
from tests.stages import finished

SIZE, RESOLUTION = 64, 32
CAMERAS = rig_cameras(SIZE)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A local folder of weights."""
    place = tmp_path_factory.mktemp("weights")
    tiny.make(place)
    return place


def stage(folder, images, model="large", cameras=CAMERAS):
    machine = MachineConfig(device="cpu", weights=str(folder))
    return engine.run(images, cameras, RESOLUTION, model=model, machine=machine)


def balls(*places_and_radii) -> np.ndarray:
    """Grey views [V, S, S, 4] of a union of balls in our world."""
    axis = torch.arange(SIZE) + 0.5
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    images = np.full((len(CAMERAS), SIZE, SIZE, 4), 128, np.uint8)
    for view, centre in enumerate(CAMERAS.centres()):
        rays = torch.stack([u, v, torch.ones_like(u)], -1) @ torch.linalg.inv(CAMERAS.Ks[view]).T
        rays = torch.nn.functional.normalize(rays @ CAMERAS.viewmats[view, :3, :3], dim=-1)
        hit = torch.zeros(SIZE, SIZE, dtype=torch.bool)
        for place, radius in places_and_radii:
            to_middle = torch.tensor(place) - centre
            along = (rays * to_middle).sum(-1, keepdim=True)
            hit |= (to_middle - along * rays).norm(dim=-1) < radius
        images[view, ..., 3] = hit.numpy() * 255
    return images


IMAGES = balls(((0.0, 0.0, 0.0), 0.3))


@pytest.fixture
def unfitted(monkeypatch):
    """For tests of what comes before the fit, which takes most of the time."""

    def fit(mesh, images, cameras, *, search_rotation):
        yield Event("mesh", 1, 1, "not fitted")
        return mesh, [1.0] * len(images)

    monkeypatch.setattr(align, "fit", fit)


@pytest.mark.usefixtures("unfitted")
@pytest.mark.parametrize("model", ["large", "base"])
def test_a_checkpoint_becomes_a_mesh(folder, model):
    _, mesh = finished(stage(folder, IMAGES, model))
    # The ball of the tiny weights, in our units before any fit.
    assert abs(mesh.vertices.norm(dim=-1).mean() - tiny.RADIUS * RADIUS / 4) < 0.05
    assert torch.linalg.det(mesh.vertices[mesh.faces]).sum() > 0  # wound outwards
    assert mesh.faces.dtype == torch.int64 and mesh.faces.max() < len(mesh.vertices)
    assert mesh.colors.shape == mesh.vertices.shape
    assert mesh.colors.min() >= 0 and mesh.colors.max() <= 1
    assert not mesh.vertices.requires_grad and not mesh.colors.requires_grad


def test_the_pieces_of_the_object_end_where_the_views_show_them(folder, monkeypatch):
    """A body with a nose towards the front camera, a hand on the picture's right, and a hat.

    InstantMesh's front camera is on +X and its azimuths turn towards +Y; ours is on -Y and looks
    along +Y, and the right of its picture is +X.
    """
    its = {  # place, radius, colour in InstantMesh's world
        "body": ((0.0, 0.0, 0.0), 0.45, (0.5, 0.5, 0.5)),
        "nose": ((0.5, 0.0, 0.0), 0.2, (1.0, 0.0, 0.0)),
        "hand": ((0.0, 0.6, 0.0), 0.15, (0.0, 1.0, 0.0)),
        "hat": ((0.0, 0.0, 0.55), 0.25, (0.0, 0.0, 1.0)),
    }
    unit = RADIUS / 4
    ours = {
        "body": (0.0, 0.0, 0.0), "nose": (0.0, -0.5 * unit, 0.0),
        "hand": (0.6 * unit, 0.0, 0.0), "hat": (0.0, 0.0, 0.55 * unit),
    }  # fmt: skip

    def shape(self, planes, points):
        depths = torch.stack(
            [
                radius - (points - torch.tensor(place)).norm(dim=-1)
                for place, radius, _ in its.values()
            ]
        )
        deepest, which = depths.max(0)
        colors = torch.tensor([color for _, _, color in its.values()])
        return (10 + 100 * deepest).clamp(min=0), colors[which]

    monkeypatch.setattr(Synthesizer, "forward", shape)
    images = balls(*((ours[name], its[name][1] * unit) for name in its))
    events, mesh = finished(stage(folder, images))
    steps = [event.step for event in events]
    assert steps == sorted(steps) and all(event.total == 100 for event in events)
    assert events[-1].step == 100 and events[-1].preview.shape[-1] == 3
    assert events[-1].metrics["iou"] > 0.95 and not events[-1].warning
    for channel, name in enumerate(("nose", "hand", "hat")):
        others = [other for other in range(3) if other != channel]
        marked = mesh.vertices[
            (mesh.colors[:, channel] > 0.9) & (mesh.colors[:, others].amax(-1) < 0.1)
        ]
        direction = torch.nn.functional.normalize(marked.mean(0), dim=0)
        truth = torch.nn.functional.normalize(torch.tensor(ours[name]), dim=0)
        assert direction @ truth > 0.99, name
        reach = torch.tensor(ours[name]).norm() + its[name][1] * unit
        assert abs((marked @ truth).max() - reach) < 0.015, name


def test_views_are_prepared_on_white(tmp_path):
    images = np.zeros((2, SIZE, SIZE, 4), np.uint8)
    images[1] = (51, 102, 204, 255)
    pixels = engine.preprocess(images, str(tmp_path))
    assert pixels.shape == (2, 3, 320, 320)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    assert torch.allclose(pixels[0, :, 7, 9], (1 - mean) / deviation, atol=1e-5)
    color = torch.tensor([0.2, 0.4, 0.8])
    assert torch.allclose(pixels[1, :, 7, 9], (color - mean) / deviation, atol=1e-5)


def test_the_encoders_own_settings_are_obeyed(tmp_path):
    place = tmp_path / "facebook" / "dino-vitb16"
    place.mkdir(parents=True)
    settings = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5]}
    (place / "preprocessor_config.json").write_text(json.dumps(settings))
    (place / "config.json").write_text(json.dumps({"model_type": "vit", "hidden_size": 768}))
    pixels = engine.preprocess(np.full((1, 8, 8, 4), 255, np.uint8), str(tmp_path))
    assert torch.allclose(pixels[0, :, 0, 0], torch.tensor([1.8, 1.6, 1.4]), atol=1e-5)


def planes(folder, dtype):
    lrm = load(folder / "TencentARC/InstantMesh/instant_nerf_large.ckpt", CPU)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(2, 3, 320, 320, generator=generator)
    vectors = camera_vectors(CAMERAS[[1, 2]])
    return finished(engine._triplane(lrm, pixels, vectors, dtype))[1]


def test_half_precision_is_close(folder):
    whole, half = planes(folder, torch.float32), planes(folder, torch.float16)
    assert half.dtype == torch.float32
    assert 0 < (whole - half).abs().max() < 0.01 * whole.abs().max()


@pytest.mark.usefixtures("unfitted")
def test_half_precision_stays_inside_the_steps(folder, monkeypatch):
    """Consumers of the events compute in full precision."""
    monkeypatch.setattr(engine, "network_dtype", lambda device: torch.float16)
    for _ in stage(folder, IMAGES[:2], cameras=CAMERAS[[0, 1]]):
        assert not torch.is_autocast_enabled("cpu")


@pytest.mark.usefixtures("unfitted")
def test_what_half_precision_cannot_hold_is_computed_again(folder, monkeypatch, tmp_path):
    state = tiny.weights(tiny.LARGE)
    state["transformer.layers.1.mlp.0.bias"] += 1e5  # more than float16 holds
    state["transformer.layers.1.mlp.3.weight"] *= 1e-7
    monkeypatch.setattr(tiny, "weights", lambda *_: state)
    tiny.make(tmp_path)
    monkeypatch.setattr(engine, "network_dtype", lambda device: torch.float16)
    events, mesh = finished(stage(tmp_path, IMAGES[:2], cameras=CAMERAS[[0, 1]]))
    assert any("half precision" in event.message for event in events)
    assert mesh.vertices.isfinite().all() and len(mesh.faces) > 100


@pytest.mark.usefixtures("unfitted")
def test_nothing_of_the_model_stays(folder, monkeypatch):
    alive = weakref.WeakSet()
    create = LRM.__init__

    def watched(self, sizes):
        create(self, sizes)
        alive.add(self)
        alive.update(self.modules())

    monkeypatch.setattr(LRM, "__init__", watched)
    for event in stage(folder, IMAGES):
        if event.message.startswith("reading"):
            assert len(alive) > 20
        if event.message.startswith("measuring"):  # only the decoder is left
            assert len(alive) < 15
        if event.message == "not fitted":
            assert not alive
    assert not alive


def test_closing_cancels_and_frees(folder, monkeypatch):
    alive = weakref.WeakSet()
    create = Synthesizer.__init__

    def watched(self, *sizes):
        create(self, *sizes)
        alive.add(self)

    monkeypatch.setattr(Synthesizer, "__init__", watched)
    monkeypatch.setitem(engine.CHUNK, "cpu", 1000)
    running = stage(folder, IMAGES)
    messages = [next(running).message for _ in range(20)]
    assert messages.count("measuring the density") > 5
    running.close()
    gc.collect()
    assert not alive


def broken(folder, tmp_path, change):
    """The error message after a change to the checkpoint."""
    file = tmp_path / "TencentARC" / "InstantMesh" / "instant_nerf_large.ckpt"
    file.parent.mkdir(parents=True)
    source = folder / "TencentARC" / "InstantMesh" / file.name
    change(source, file)
    with pytest.raises(UserError) as error:
        finished(stage(tmp_path, IMAGES))
    return str(error.value)


def changed(edit):
    """A change to what the checkpoint holds."""

    def change(source, file):
        checkpoint = torch.load(source, weights_only=True)
        edit(checkpoint["state_dict"])
        torch.save(checkpoint, file)

    return change


def test_a_truncated_checkpoint_is_reported(folder, tmp_path):
    def cut(source, file):
        file.write_bytes(source.read_bytes()[:-5000])

    assert "instant_nerf_large.ckpt" in broken(folder, tmp_path, cut)


def test_code_in_a_checkpoint_is_not_run(folder, tmp_path):
    marker = tmp_path / "was_run"

    class Code:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    message = broken(folder, tmp_path, lambda _, file: torch.save({"state_dict": Code()}, file))
    assert "code" in message and not marker.exists()


def test_the_mesh_variant_is_reported(folder, tmp_path):
    def edit(state):
        head = "lrm_generator.synthesizer.decoder.net."
        for key in [key for key in state if key.startswith(head)]:
            value = state.pop(key)
            for name in ("net_sdf", "net_rgb", "net_deformation", "net_weight"):
                state[key.replace(".net.", f".{name}.")] = value

    assert "mesh variant" in broken(folder, tmp_path, changed(edit))


def test_another_models_checkpoint_is_reported(folder, tmp_path):
    message = broken(folder, tmp_path, lambda _, file: torch.save({"weight": torch.ones(2)}, file))
    assert "not a checkpoint of InstantMesh" in message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("transformer.pos_embed", None, "lacks 'transformer.pos_embed'"),
        ("transformer.norm.weight", None, "missing keys: transformer.norm.weight"),
        ("transformer.norm.weight", torch.ones(3), "transformer.norm.weight (has [3]"),
        ("transformer.more", torch.ones(3), "unexpected keys: transformer.more"),
    ],
)
def test_wrong_keys_are_named(folder, tmp_path, key, value, message):
    def edit(state):
        state.pop("lrm_generator." + key, None)
        if value is not None:
            state["lrm_generator." + key] = value

    assert message in broken(folder, tmp_path, changed(edit))


def test_the_cameras_of_training_are_left_out(folder, tmp_path):
    def edit(state):
        state["lrm_generator.source_camera_pool"] = torch.ones(3)

    file = tmp_path / "instant_nerf_large.ckpt"
    changed(edit)(folder / "TencentARC" / "InstantMesh" / file.name, file)
    load(file, CPU)


def test_no_surface_is_reported(folder, tmp_path):
    def edit(state):
        state["lrm_generator.synthesizer.decoder.net.6.bias"] -= 1000

    assert "found no surface" in broken(folder, tmp_path, changed(edit))

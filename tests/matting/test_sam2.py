"""SAM 2 with tiny random weights: prompts reach it as published, and what it finds is used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from transformers import Sam2Model, Sam2VideoModel

from ds4d.config import MachineConfig, MattingConfig
from ds4d.errors import UserError
from ds4d.matting import choose, sam2
from ds4d.run.events import Stage
from tests.fakes import sam2 as tiny
from tests.stages import finished

COUNT, HEIGHT, WIDTH = 5, 90, 120


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny.make(folder)
    return folder


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """A dark disc that goes to the right over white, [T, H, W, 3]."""
    frames = np.full((COUNT, HEIGHT, WIDTH, 3), 255, np.uint8)
    for index, frame in enumerate(frames):
        cv2.circle(frame, (30 + 8 * index, 50), 20, (20, 30, 60), -1)
    return frames


def dark(frames: np.ndarray) -> Stage[np.ndarray]:
    """Mattes of an engine that takes what is dark for the object."""
    yield from ()
    return np.where(frames[..., :3].mean(-1) < 128, 255, 0).astype(np.uint8)


def run(frames, folder, strokes=None, first=dark):
    machine = MachineConfig(device="cpu", weights=str(folder))
    return finished(sam2.run(frames, strokes or {}, first=first, machine=machine))


def strokes(*boxes: tuple[slice, slice, int]) -> np.ndarray:
    marks = np.zeros((HEIGHT, WIDTH), np.int8)
    for rows, columns, sign in boxes:
        marks[rows, columns] = sign
    return marks


def as_published(folder: Path, video: np.ndarray, frame: int, mask: np.ndarray) -> np.ndarray:
    """Mattes [T, H, W] uint8 as transformers' own page on SAM 2 makes them from a mask."""
    from transformers import Sam2ImageProcessor, Sam2VideoProcessor, Sam2VideoVideoProcessor

    network = Sam2VideoModel.from_pretrained(folder / tiny.REPO).eval()
    size = {"height": tiny.SIDE, "width": tiny.SIDE}
    processor = Sam2VideoProcessor(
        Sam2ImageProcessor(size=size), Sam2VideoVideoProcessor(size=size)
    )
    session = processor.init_video_session(video=list(video))
    processor.add_inputs_to_inference_session(
        inference_session=session, frame_idx=frame, obj_ids=1, input_masks=mask
    )
    network(inference_session=session, frame_idx=frame)
    found = {}
    for reverse in (False, True):
        for output in network.propagate_in_video_iterator(session, frame, reverse=reverse):
            (logits,) = processor.post_process_masks(
                [output.pred_masks], [[HEIGHT, WIDTH]], binarize=False
            )
            found[output.frame_idx] = logits[0, 0].sigmoid().numpy()
    return np.stack([found[index] for index in range(len(video))]) * 255


def test_without_strokes_a_first_matte_is_followed_as_published(weights, frames, monkeypatch):
    monkeypatch.setattr(sam2, "reported", unreported)
    _, alphas = run(frames, weights)
    first = finished(dark(frames))[1]
    expected = as_published(weights, frames, sam2.median_frame(first), first[2] > 127)
    assert sam2.median_frame(first) == 2 and alphas.dtype == np.uint8
    # Masks are enlarged once here, and twice there.
    assert np.abs(alphas - expected).mean() < 2
    assert ((alphas[2] > 127) == (first[2] > 127)).mean() > 0.98


def unreported(alphas: np.ndarray, network: str) -> Stage[np.ndarray]:
    yield from ()
    return alphas


def test_strokes_and_the_first_matte_are_the_prompts(weights, frames, monkeypatch):
    given = {}

    def forward(self, **inputs):
        given.update(inputs)
        return original(self, **inputs)

    original = Sam2Model.forward
    monkeypatch.setattr(Sam2Model, "forward", forward)
    marks = strokes((slice(44, 57), slice(40, 101), 1), (slice(2, 9), slice(2, 9), -1))
    run(frames, weights, {1: marks})
    points = given["input_points"][0, 0].numpy() * [WIDTH / tiny.SIDE, HEIGHT / tiny.SIDE]
    labels = given["input_labels"][0, 0].numpy()
    assert len(points) == len(labels) <= 2 * sam2.POINTS and set(labels) == {0, 1}
    for (x, y), label in zip(points, labels, strict=True):
        assert marks[round(y), round(x)] == (1 if label else -1)
    assert points[labels == 1][:, 0].max() - points[labels == 1][:, 0].min() > 40  # all over it
    logits = given["input_masks"][0, 0].numpy()
    assert logits[50, 38] == sam2.CERTAIN and logits[5, 5] == -sam2.CERTAIN
    pixels = given["pixel_values"][0].numpy()
    assert pixels.shape == (3, tiny.SIDE, tiny.SIDE) and 2.0 < pixels.max() < 2.7  # of ImageNet


def test_strokes_are_obeyed_to_the_pixel_on_their_own_frame(weights, frames):
    """Also a dot that is no part of a large body."""
    marks = strokes(
        (slice(40, 50), slice(30, 60), 1), (slice(60, 66), slice(30, 60), -1),
        (slice(5, 9), slice(105, 109), 1),
    )  # fmt: skip
    _, alphas = run(frames, weights, {1: marks})
    assert (alphas[1][marks > 0] == 255).all() and (alphas[1][marks < 0] == 0).all()
    assert not alphas[1].all()


def test_several_frames_with_strokes_are_all_remembered(weights, frames, monkeypatch):
    marks = strokes((slice(44, 57), slice(30, 60), 1))
    remembered = []

    def follow(self, rgb, masks):
        remembered.extend(masks)
        return original(self, rgb, masks)

    original = sam2.SAM2.follow
    monkeypatch.setattr(sam2.SAM2, "follow", follow)
    events, _ = run(frames, weights, {1: marks, 3: marks})
    assert remembered == [1, 3]
    steps = [event.step for event in events if event.preview is not None]
    assert steps == list(range(1, COUNT + 1))


def test_points_are_inside_their_strokes_and_far_from_each_other():
    line = strokes((slice(20, 26), slice(5, 115), 1)) > 0
    points = sam2.points_on(line)
    assert len(points) == sam2.POINTS and all(line[y, x] for x, y in points)
    apart = np.linalg.norm(points[:, None] - points, axis=-1)
    assert apart[~np.eye(len(points), dtype=bool)].min() > 8
    dot = strokes((slice(20, 24), slice(5, 9), 1)) > 0
    assert len(sam2.points_on(dot)) < 4 and len(sam2.points_on(np.zeros_like(dot))) == 0


def test_the_engine_names_what_its_mattes_begin_with(weights, frames):
    machine = MachineConfig(device="cpu", weights=str(weights))
    engine = choose(MattingConfig(engine="sam2"), machine, frames)
    assert engine.name == "sam2" and engine.weights == (sam2.WEIGHTS,)
    assert "classical" in engine.message and "classical" in engine.key[0]
    opaque = np.full((2, 8, 8, 4), 255, np.uint8)
    opaque[:, 2:6, 2:6, 3] = 0
    assert "alpha" in choose(MattingConfig(engine="sam2"), machine, opaque).key[0]


def test_nothing_is_left_in_memory(weights, frames):
    import gc

    run(frames, weights, {1: strokes((slice(44, 57), slice(30, 60), 1))})
    gc.collect()
    networks = (Sam2Model, Sam2VideoModel)
    assert not any(isinstance(thing, networks) for thing in gc.get_objects())


def test_other_weights_are_refused(weights, frames, tmp_path):
    with pytest.raises(UserError, match="sam2.1-hiera-tiny"):
        run(frames, tmp_path)
    folder = tmp_path / "copied"
    shutil.copytree(weights, folder)
    config = folder / tiny.REPO / "config.json"
    facts = json.loads(config.read_text())
    config.write_text(json.dumps(facts | {"model_type": "sam3_video"}))
    with pytest.raises(UserError, match="sam3_video, not SAM 2"):
        run(frames, folder)
    config.write_text(json.dumps(facts | {"memory_fuser_num_layers": 3}))
    with pytest.raises(UserError, match="missing keys"):
        run(frames, folder)
    config.write_text(json.dumps(facts))
    file = folder / tiny.REPO / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError):
        run(frames, folder)

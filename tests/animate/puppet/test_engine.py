"""Frames that the puppet engine draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from ds4d.animate.puppet import motions, run
from ds4d.errors import UserError
from ds4d.run.events import result
from tests.animate.figures import SIZE, animal, person, pot

FIGURES = {"person": person, "animal": animal, "pot": pot}


@pytest.fixture(scope="module", params=[
    ("person", "wave"), ("person", "walk"), ("person", "hop"), ("animal", "walk"),
    ("animal", "nod"), ("pot", "sway"), ("pot", "breathe"),
])  # fmt: skip
def drawn(request) -> tuple[np.ndarray, np.ndarray]:
    """A cut-out, and its frames."""
    figure, motion = request.param
    picture = FIGURES[figure]()
    return picture, result(run(picture, motion, 12))


def area(frames: np.ndarray) -> np.ndarray:
    return frames[..., 3].sum((-1, -2)) / 255


def test_the_object_stays_whole_and_keeps_its_size(drawn):
    picture, frames = drawn
    assert frames.shape == (12, SIZE, SIZE, 4) and frames.dtype == np.uint8
    sizes = area(frames)
    assert np.ptp(sizes) < 0.1 * sizes.mean()
    assert all(label(frame[..., 3] > 127)[1] == 1 for frame in frames)


def test_the_object_stays_inside_the_frame(drawn):
    alpha = drawn[1][..., 3]
    for edge in (alpha[:, 0], alpha[:, -1], alpha[:, :, 0], alpha[:, :, -1]):
        assert not edge.any()


def test_the_loop_closes_without_a_jump(drawn):
    frames = drawn[1].astype(float)[..., 3]
    steps = np.abs(np.roll(frames, -1, 0) - frames).mean((1, 2))
    assert steps.max() > 0 and steps[-1] <= 1.3 * steps[:-1].max()


def test_no_color_comes_from_nowhere(drawn):
    """Every colour is one of the object's, or between two of them, also at the edge."""
    picture, frames = drawn
    own = picture[picture[..., 3] > 200][:, :3].astype(int)
    seen = frames[frames[..., 3] > 60][:, :3].astype(int)
    assert (seen >= own.min(0) - 6).all() and (seen <= own.max(0) + 6).all()


def test_edges_are_as_sharp_as_in_the_picture(drawn):
    picture, frames = drawn

    def soft(alpha: np.ndarray) -> float:
        return ((alpha > 20) & (alpha < 235)).sum() / (alpha > 127).sum()

    assert max(soft(frame[..., 3]) for frame in frames) < 3 * soft(picture[..., 3]) + 0.05


def test_a_picture_that_does_not_move_is_drawn_as_it_is(monkeypatch):
    def still(shape, phase, amount):
        return motions.breathe(shape, phase, 0.0)

    monkeypatch.setitem(motions.MOTIONS, "breathe", still)
    picture = pot()
    frame = result(run(picture, "breathe", 2))[0]
    shown = frame[..., 3] > 0
    rows, columns = np.nonzero(frame[..., 3] > 127)
    own_rows, own_columns = np.nonzero(picture[..., 3] > 127)
    down, right = round(rows.mean() - own_rows.mean()), round(columns.mean() - own_columns.mean())
    moved = np.roll(picture, (down, right), (0, 1))
    assert np.abs(frame[..., 3].astype(int) - moved[..., 3])[shown].mean() < 6


def test_the_motion_and_its_reason_are_told():
    messages: list[str] = []
    result(run(animal(), "auto", 2), lambda event: messages.append(event.message))
    assert messages[0] == "walk: it stands on 4 feet"


def test_a_speck_cannot_be_moved():
    picture = np.zeros((SIZE, SIZE, 4), np.uint8)
    picture[90:100, 90:100] = 255
    with pytest.raises(UserError, match="too small"):
        result(run(picture, "auto", 4))

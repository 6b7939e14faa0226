"""Brush strokes on one frame hold in all frames, and nowhere else."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest

from ds4d.errors import UserError
from ds4d.matting import corrections
from ds4d.matting.corrections import BACKGROUND, OBJECT, UNTOUCHED
from tests.stages import finished

COUNT, HEIGHT, WIDTH = 8, 120, 160
Y, X = np.mgrid[:HEIGHT, :WIDTH]


def disc(x: float, y: float, radius: float) -> np.ndarray:
    return np.hypot(X - x, Y - y) < radius


def center(index: int) -> float:
    return 55 + 6 * index


@pytest.fixture(scope="module")
def rolling() -> tuple[np.ndarray, np.ndarray]:
    """A blotchy disc that goes to the right before a grainy wall, [T, H, W, 3], and its mattes."""
    rng = np.random.default_rng(0)
    wall = rng.integers(90, 130, (HEIGHT, WIDTH, 1)).repeat(3, 2)
    blotches = rng.integers(0, 60, (12, 12, 3)).repeat(8, 0).repeat(8, 1)
    frames, masks = [], []
    for index in range(COUNT):
        frame, mask = wall.copy(), disc(center(index), 60, 30)
        left, top = int(center(index)) - 48, 12
        skin = np.zeros_like(wall)
        skin[top : top + 96, left : left + 96] = blotches + (150, 60, 20)
        frame[mask] = skin[mask]
        frames.append(frame)
        masks.append(mask)
    return np.stack(frames).astype(np.uint8), np.stack(masks)


def strokes_at(folder, marks: np.ndarray, index: int = 3) -> np.ndarray:
    corrections.save(folder, 2 * index, marks)
    return 2 * np.arange(COUNT)  # the run uses every second source frame


def mend(folder, frames, indices, alphas):
    events, strokes = finished(corrections.read(folder, indices, frames.shape[1:3]))
    more, mended = finished(corrections.run(frames, alphas, strokes))
    return events + more, mended


def test_a_hole_that_is_filled_once_stays_filled_in_all_frames(tmp_path, rolling):
    frames, masks = rolling
    holes = np.stack([disc(center(index) + 6, 52, 9) for index in range(COUNT)])
    alphas = np.where(masks & ~holes, 255, 0).astype(np.uint8)
    marks = np.full((HEIGHT, WIDTH), UNTOUCHED, np.uint8)
    marks[disc(center(3) + 6, 52, 10)] = OBJECT
    events, mended = mend(tmp_path, frames, strokes_at(tmp_path, marks), alphas)
    for mask, hole, alpha in zip(masks, holes, mended, strict=True):
        assert (alpha[hole] > 127).mean() > 0.97
        assert ((alpha > 127) != mask).sum() < 0.01 * mask.sum()
    assert events[-1].step == events[-1].total


def test_what_is_wiped_off_once_stays_off(tmp_path, rolling):
    """A piece of the wall that every matte took for the object."""
    frames, masks = rolling
    extra = disc(20, 100, 10)
    alphas = np.where(masks | extra, 255, 0).astype(np.uint8)
    marks = np.full((HEIGHT, WIDTH), UNTOUCHED, np.uint8)
    marks[disc(20, 100, 12)] = BACKGROUND
    _, mended = mend(tmp_path, frames, strokes_at(tmp_path, marks), alphas)
    for mask, alpha in zip(masks, mended, strict=True):
        assert not (alpha[extra & ~mask] > 127).any()
        assert ((alpha > 127) != mask).sum() < 0.01 * mask.sum()


def test_strokes_are_obeyed_to_the_pixel_on_their_own_frame(tmp_path, rolling):
    frames, masks = rolling
    alphas = np.where(masks, 255, 0).astype(np.uint8)
    marks = np.full((HEIGHT, WIDTH), UNTOUCHED, np.uint8)
    marks[10:20, 30:90] = OBJECT
    marks[50:60, 50:60] = BACKGROUND
    _, mended = mend(tmp_path, frames, strokes_at(tmp_path, marks), alphas)
    assert (mended[3][marks == OBJECT] == 255).all()
    assert (mended[3][marks == BACKGROUND] == 0).all()


def test_mattes_stay_as_they_are_away_from_strokes(tmp_path, rolling):
    frames, masks = rolling
    alphas = np.where(masks, 200, 30).astype(np.uint8)
    marks = np.full((HEIGHT, WIDTH), UNTOUCHED, np.uint8)
    marks[disc(center(3), 60, 4)] = OBJECT
    _, mended = mend(tmp_path, frames, strokes_at(tmp_path, marks), alphas)
    for index in range(COUNT):
        away = ~disc(center(index), 60, 16)
        np.testing.assert_array_equal(mended[index][away], alphas[index][away])
    again, same = mend(tmp_path / "no run", frames, np.arange(COUNT), alphas)
    assert same is alphas and not again


def test_a_stroke_ends_where_its_colours_end(rolling):
    """The disc leaves the picture that the stroke was drawn on: the wall keeps none."""
    frames, masks = rolling
    gone = frames.copy()
    gone[5:] = gone[5:, :, ::-1]
    gone[5:, 20:100, 10:] = gone[4, :20, :10].mean()
    marks = disc(center(3), 60, 12).astype(np.int8)
    propagated = corrections.propagate(gone, {3: marks})
    assert (propagated[4] > 0).sum() > 0.8 * marks.sum()
    assert (propagated[7] > 0).sum() < 0.1 * marks.sum()


def test_the_nearest_frame_s_stroke_counts(rolling):
    frames, _ = rolling
    inside = disc(center(0), 60, 12).astype(np.int8)
    outside = -disc(center(7), 60, 12).astype(np.int8)
    propagated = corrections.propagate(frames, {0: inside, 7: outside})
    for index, sign in ((0, 1), (2, 1), (5, -1), (7, -1)):
        assert propagated[index, 60, int(center(index))] == sign


def test_strokes_are_kept_with_their_source_frame(tmp_path, rolling):
    frames, masks = rolling
    alphas = np.where(masks, 255, 0).astype(np.uint8)
    assert corrections.folder_of(tmp_path) == ()
    marks = np.full((HEIGHT // 2, WIDTH // 2), UNTOUCHED, np.uint8)  # of a smaller picture
    marks[5:10, 15:45] = OBJECT
    corrections.save(tmp_path, 7, marks)
    np.testing.assert_array_equal(corrections.load(tmp_path, 7), marks)
    assert corrections.folder_of(tmp_path) == (tmp_path / "corrections",)
    events, same = mend(tmp_path, frames, 2 * np.arange(COUNT), alphas)  # 7 is not among them
    assert events[0].warning and same is alphas
    corrections.save(tmp_path, 7, np.full_like(marks, UNTOUCHED))
    assert corrections.folder_of(tmp_path) == () and corrections.load(tmp_path, 7) is None


def test_other_files_are_refused(tmp_path, rolling):
    frames, masks = rolling
    (tmp_path / "corrections").mkdir()
    iio.imwrite(tmp_path / "corrections/mine.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(UserError, match="number"):
        mend(tmp_path, frames, np.arange(COUNT), masks.astype(np.uint8) * 255)


def test_strokes_make_only_mattes_and_what_follows_again(tmp_path, rolling):
    from ds4d import pipeline
    from ds4d.config import ClipConfig, Config, MattingConfig
    from ds4d.images import load_images, save_images
    from ds4d.run.workspace import Workspace

    frames, masks = rolling
    save_images(tmp_path / "clip", frames)
    config = Config(clip=ClipConfig(frames=4, size=64), matting=MattingConfig(engine="classical"))

    def skipped() -> dict[str, bool]:
        workspace = Workspace(tmp_path / "run")
        events = list(pipeline.generate(tmp_path / "clip", workspace, config, until="matting"))
        return {event.stage: event.skipped for event in events}

    assert skipped() == {"clip": False, "matting": False}
    before = load_images(tmp_path / "run/frames")[..., 3]
    assert skipped() == {"clip": True, "matting": True}
    marks = np.full((HEIGHT, WIDTH), UNTOUCHED, np.uint8)
    marks[50:70, int(center(0)) - 10 : int(center(0)) + 10] = BACKGROUND
    corrections.save(tmp_path / "run", 0, marks)
    assert skipped() == {"clip": True, "matting": False}
    after = load_images(tmp_path / "run/frames")[..., 3]
    assert (after < 128).mean() > (before < 128).mean() and after[0, 32, 20] == 0

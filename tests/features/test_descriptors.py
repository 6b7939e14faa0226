"""Hand-crafted descriptors: sensitivity to motion, insensitivity to flicker and background."""

from __future__ import annotations

import numpy as np
import torch

from ds4d.features.descriptors import PATCH, run
from tests.stages import finished

GRID, SIZE = 8, 8 * PATCH


def describe(*images: np.ndarray) -> torch.Tensor:
    """Features [T, grid, grid, D] of a clip seen by one camera."""
    return finished(run(np.stack(images)[:, None], GRID))[1][:, 0]


def textured(seed: int = 0) -> np.ndarray:
    """An opaque image of soft blobs."""
    import cv2

    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.random((SIZE, SIZE, 3)).astype(np.float32), (0, 0), 5)
    image = np.full((SIZE, SIZE, 4), 255, np.uint8)
    image[..., :3] = 40 + 160 * (noise - noise.min()) / np.ptp(noise)
    return image


def empty() -> np.ndarray:
    return np.zeros((SIZE, SIZE, 4), np.uint8)


def dynamic(f: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Norm of the component of f orthogonal to the reference, per token."""
    share = (f * reference).sum(-1, keepdim=True) / (reference**2).sum(-1, keepdim=True)
    return (f - share * reference).norm(dim=-1)


def test_shape_and_scale():
    images = np.stack([np.stack([textured(t * 3 + v) for v in range(3)]) for t in range(2)])
    events, result = finished(run(images, GRID))
    assert result.shape[:4] == (2, 3, GRID, GRID) and result.dtype == torch.float32
    assert 32 <= result.shape[-1] <= 64
    assert torch.allclose(result.norm(dim=-1), torch.ones(2, 3, GRID, GRID), atol=1e-5)
    assert events[-1].step == events[-1].total == 2
    assert {event.stage for event in events} == {"features"}


def test_any_image_size_gives_the_grid():
    small = textured()[: SIZE // 2, : SIZE // 2]
    assert describe(small).shape[1:3] == (GRID, GRID)


def test_equal_frames_have_equal_features():
    first, second = describe(textured(), textured())
    assert torch.equal(first, second)


def test_transparent_background_is_one_vector_of_any_hidden_colour():
    hidden = empty()
    hidden[: SIZE // 2, :, 0] = 255  # red, but wholly transparent
    tokens = describe(hidden)[0].reshape(GRID * GRID, -1)
    assert torch.allclose(tokens, tokens[:1].expand_as(tokens), atol=1e-6)


def test_row_0_is_the_top_and_column_0_the_left():
    marked = empty()
    marked[:PATCH, PATCH * 5 : PATCH * 6] = (200, 30, 30, 255)
    change = dynamic(*describe(marked, empty()))
    assert divmod(int(change.argmax()), GRID) == (0, 5)


def test_a_moved_patch_changes_only_tokens_nearby():
    before, after = textured(), textured()
    place = slice(3 * PATCH, 4 * PATCH)
    before[place, 2 * PATCH : 3 * PATCH, :3] = (20, 20, 20)
    after[place, 3 * PATCH : 4 * PATCH, :3] = (20, 20, 20)
    change = dynamic(*describe(after, before))
    assert change[3, 2] > 0.2 and change[3, 3] > 0.2
    near = torch.zeros(GRID, GRID, dtype=torch.bool)
    near[1:6, 0:6] = True  # the patch, where it went, and what touches their surroundings
    assert change[~near].max() < 1e-4


def test_motion_inside_a_patch_is_seen():
    before, after = empty(), empty()
    before[56:70, 56:63] = (200, 120, 30, 255)  # the left half of a patch, then its right half
    after[56:70, 63:70] = (200, 120, 30, 255)
    assert dynamic(*describe(after, before))[4, 4] > 0.2


def test_flicker_changes_far_less_than_motion():
    image = textured()
    darker = image.copy()
    darker[..., :3] = (image[..., :3] * 0.95).round()
    moved = np.roll(image, PATCH, axis=1)
    reference, flicker, motion = describe(image, darker, moved)
    flicker, motion = dynamic(flicker, reference), dynamic(motion, reference)
    assert flicker.mean() < 0.15 * motion.mean()

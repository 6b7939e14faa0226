"""Frames as the encoders take them."""

from __future__ import annotations

import json

import numpy as np
import torch
from PIL import Image

from ds4d.multiview.zero123plus.preprocessing import GREY, load_image_processor, over_background


def pixel_values(processor, image: Image.Image) -> torch.Tensor:
    return processor(image, return_tensors="pt").pixel_values


def test_pixels_by_single_numbers_and_by_channel(weights, tmp_path):
    folder = weights / "sudo-ai" / "zero123plus-v1.2" / "feature_extractor_vae"
    scalar = load_image_processor(folder)
    facts = json.loads((folder / "preprocessor_config.json").read_text())
    facts |= {"image_mean": [0.5] * 3, "image_std": [0.8] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(facts))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 60, 3), np.uint8))
    by_channel = load_image_processor(tmp_path)
    assert torch.equal(pixel_values(scalar, picture), pixel_values(by_channel, picture))
    white = pixel_values(scalar, Image.new("RGB", (50, 50), (255, 255, 255)))
    assert white.shape == (1, 3, 128, 128)
    torch.testing.assert_close(white, torch.full_like(white, 0.625))


def test_a_frame_lies_over_grey():
    frame = np.zeros((4, 4, 4), np.uint8)
    frame[:2] = (200, 100, 0, 255)
    expected = np.where(np.arange(4)[:, None, None] < 2, (200, 100, 0), GREY)
    expected = np.broadcast_to(expected, (4, 4, 3))
    np.testing.assert_array_equal(over_background(frame, GREY), expected)

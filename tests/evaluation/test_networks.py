"""Published preprocessing of the networks that score, and what they say of equal images."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from transformers import CLIPImageProcessorPil

from ds4d.errors import UserError
from ds4d.evaluation import networks
from tests.fakes import judges

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 90, 90, 3), dtype=np.uint8)


class Seen(nn.Module):
    """A network that shows its input."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))

    def forward(self, pixels):
        self.pixels = pixels
        return type("Output", (), {"image_embeds": pixels.flatten(1)})


def test_clip_sees_what_consistent4ds_script_shows_it():
    network = Seen()
    networks.clip_features(network)(IMAGES)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 224}, resample=3, crop_size=224,
        image_mean=networks.CLIP_MEAN, image_std=networks.CLIP_STD,
    )  # fmt: skip
    pictures = [Image.fromarray(image).resize((512, 512)) for image in IMAGES]
    expected = processor(pictures, return_tensors="pt").pixel_values
    torch.testing.assert_close(network.pixels, expected, atol=1e-5, rtol=0)


def test_clip_t_sees_channels_in_the_order_of_opencv():
    network = Seen()
    large = np.zeros((1, 448, 448, 3), np.uint8)
    large[..., 0] = 255  # red
    networks.clip_features_4dgen(network)(large)
    blue_first = (torch.tensor([0.0, 0, 1]) - torch.tensor(networks.CLIP_MEAN)) / torch.tensor(
        networks.CLIP_STD
    )
    torch.testing.assert_close(network.pixels[0, :, 100, 100], blue_first)


def test_fvd_sees_what_consistent4ds_script_shows_it():
    class Video(Seen):
        def forward(self, pixels):
            self.pixels = pixels
            return torch.zeros(1, 400)

    network, frames = Video(), np.repeat(IMAGES, 3, 0)
    networks.video_logits(network, frames)
    literal = np.zeros((9, 224, 224, 3), np.float32)
    for index, frame in enumerate(frames):
        for channel in range(3):
            plane = Image.fromarray(frame[:, :, channel].astype(np.float32), mode=None)
            literal[index, :, :, channel] = np.asarray(plane.resize((224, 224), resample=3))
    expected = torch.from_numpy(literal).permute(3, 0, 1, 2)[None] / 127.5 - 1
    torch.testing.assert_close(network.pixels, expected)


def test_a_short_video_is_refused():
    with pytest.raises(UserError, match="at least 9 frames"):
        networks.video_logits(Seen(), IMAGES)


def test_equal_images_have_the_ideal_values(weights):
    embed = networks.clip_features(networks.load_clip(networks.CLIP, str(weights), CPU))
    features = embed(IMAGES)
    assert features.shape == (3, 12)
    np.testing.assert_allclose(networks.cosine(features, features), 1, atol=1e-5)
    np.testing.assert_allclose(networks.spherical(features, features), 0, atol=1e-6)
    assert (networks.cosine(features, features[::-1])[0] < 1).all()
    score = networks.load_lpips(str(weights), CPU)
    assert score(IMAGES[0], IMAGES[0]) == 0 and score(IMAGES[0], IMAGES[1]) > 0


def test_spherical_distance_of_known_angles():
    x, y = np.array([[2.0, 0]]), np.array([[0, 3.0]])
    np.testing.assert_allclose(networks.spherical(x, y), 2 * (np.pi / 4) ** 2)
    np.testing.assert_allclose(networks.spherical(x, -x), 2 * (np.pi / 2) ** 2)


def test_the_two_clips_are_different_networks(weights):
    one, other = (networks.load_clip(name, str(weights), CPU) for name in
                  (networks.CLIP, networks.CLIP_LAION))  # fmt: skip
    assert one.config.hidden_act == "quick_gelu" and other.config.hidden_act == "gelu"


def test_weights_that_do_not_fit_are_refused(weights, tmp_path):
    weights = shutil.copytree(weights, tmp_path / "weights")
    file = weights / judges.I3D_FILE.repo / "i3d.pt"
    state = torch.load(file, weights_only=True)
    networks.load_i3d(str(weights), CPU)
    del state["logits.conv3d.bias"]
    torch.save(state, file)
    with pytest.raises(UserError, match="logits.conv3d.bias"):
        networks.load_i3d(str(weights), CPU)

"""Frames in between by RIFE with random weights, and by weights that are set by hand."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from ds4d import interpolation
from ds4d.cli import main
from ds4d.config import ClipConfig, MachineConfig
from ds4d.errors import UserError
from ds4d.interpolation import rife
from ds4d.interpolation.ifnet import IFNet, warped
from ds4d.run.events import result
from tests.fakes.rife import RIFE, make
from tests.interpolation.test_flow import SIZE, square


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> MachineConfig:
    folder = tmp_path_factory.mktemp("weights")
    make(folder)
    return MachineConfig(device="cpu", weights=str(folder))


def test_a_run_fills_in_frames_and_keeps_those_of_the_clip(machine):
    chosen = interpolation.choose(ClipConfig(), machine)
    assert chosen.name == "rife" and chosen.weights == ("rife-4.6",)
    frames = np.stack([square(36 + 6 * step, 48) for step in range(2)])
    made = result(chosen.run(frames, 4))
    assert made.shape == (5, SIZE, SIZE, 4) and made.dtype == np.uint8
    np.testing.assert_array_equal(made[::4], frames)


def still(amount: float = 0.0) -> IFNet:
    """A network that finds a motion of `amount` pixels to the right everywhere."""
    network = IFNet().eval()
    for block in network.children():
        torch.nn.init.zeros_(block.lastconv[0].weight)
        torch.nn.init.zeros_(block.lastconv[0].bias)
    # 24 channels are 6 for each pixel of a 2 x 2 square; of them the first is x to the first frame.
    bias = network.block3.lastconv[0].bias
    bias.data[0:4] = -amount / 2
    bias.data[8:12] = amount / 2
    return network


def between(network: IFNet, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return rife._between(network, first, second, [0.5], torch.device("cpu"))[0]


def test_without_motion_both_frames_are_blended_premultiplied():
    first, second = square(40, 48), square(52, 48)
    made = between(still(), first, second).astype(float)
    np.testing.assert_allclose(
        made[..., 3], (first[..., 3].astype(float) + second[..., 3]) / 2, atol=1
    )
    alone = (first[..., 3] == 255) & (second[..., 3] == 0)
    assert np.abs(made - first)[alone][:, :3].max() <= 2  # not darkened by what is clear


def test_motion_leads_to_both_frames():
    made = between(still(8.0), square(44, 48), square(52, 48))
    true = square(48, 48)
    inner = np.s_[16:-16, 16:-16]
    assert np.abs(made[inner].astype(int) - true[inner])[true[inner][..., 3] > 0].max() <= 3


def test_warping_is_in_pixels_and_continues_at_the_border():
    image = torch.arange(6.0)[None, None, None].expand(1, 1, 4, 6)
    offsets = torch.zeros(1, 2, 4, 6)
    offsets[:, 0] = 1.5
    torch.testing.assert_close(
        warped(image, offsets)[0, 0, 0], torch.tensor([1.5, 2.5, 3.5, 4.5, 5, 5])
    )


def test_the_network_is_that_of_the_published_weights():
    network = IFNet()
    assert sum(parameter.numel() for parameter in network.parameters()) == 5_306_256
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes["block0.conv0.0.0.weight"] == (96, 7, 3, 3)
    assert shapes["block1.conv0.0.0.weight"] == (64, 12, 3, 3)
    assert shapes["block3.convblock.7.beta"] == (1, 64, 1, 1)
    assert shapes["block2.lastconv.0.weight"] == (96, 24, 4, 4)


@pytest.mark.parametrize("change", [
    lambda state: state.pop("module.block2.convblock.3.beta"),
    lambda state: state.update({"module.block0.more": torch.zeros(2)}),
    lambda state: state.update({"module.block1.conv0.0.0.weight": torch.zeros(3)}),
    lambda state: state.clear() or state.update(other=torch.zeros(2)),
], ids=["missing", "unknown", "shape", "another model"])  # fmt: skip
def test_weights_that_do_not_fit_are_refused(machine, tmp_path, change):
    state = torch.load(Path(machine.weights) / RIFE.repo / RIFE.files[0])
    change(state)
    torch.save(state, tmp_path / "flownet_v4.6.pkl")
    with pytest.raises(UserError, match="flownet_v4.6.pkl"):
        rife.load(tmp_path / "flownet_v4.6.pkl", torch.device("cpu"))


def test_auto_takes_flow_without_weights_and_a_run_says_what_is_missing(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("ds4d.weights.reachability.obstacle", lambda url: "it is off")
    nothing = MachineConfig(device="cpu", weights=str(tmp_path / "none"))
    assert interpolation.choose(ClipConfig(), nothing).name == "flow"
    (tmp_path / "walk").mkdir()
    for step in range(2):
        iio.imwrite(tmp_path / "walk" / f"{step}.png", square(36 + 6 * step, 48))
    line = ["generate", str(tmp_path / "walk"), "--out", str(tmp_path / "run"), "--weights", "none"]
    assert main([*line, "--clip.interpolate", "2", "--clip.between", "rife"]) == 1
    assert "rife-4.6" in capsys.readouterr().err

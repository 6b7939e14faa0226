"""The packed 4D file: what goes in comes out, within the stated errors, in few bytes."""

from __future__ import annotations

import json
import math
import zlib

import pytest
import torch

from ds4d.cameras import Cameras, orbit_cameras
from ds4d.errors import UserError
from ds4d.export.packed import FRAME_BYTES, SMALLEST_SCALE, VERSION, input_camera, pack, unpack
from ds4d.splatting.splats import Splats


class Asset:
    """Gaussians that drift, turn, grow and fade, smoothly and each in its own way."""

    def __init__(self, count: int = 300, frames: int = 6):
        random = torch.Generator().manual_seed(1)
        self.positions = torch.linspace(0, 1, frames) ** 2
        self.cameras = orbit_cameras([30.0, 90.0], [-20.0, 0.0], size=64)
        self.start = torch.rand(count, 3, generator=random) * 0.8 - 0.4
        self.way = torch.randn(count, 3, generator=random) * 0.1
        self.quats = torch.randn(count, 4, generator=random)
        self.turn = torch.randn(count, 4, generator=random) * 0.2
        self.log_scales = torch.rand(count, 3, generator=random) * 5 - 8
        self.opacities = torch.rand(count, generator=random)
        self.colors = torch.rand(count, 3, generator=random)
        self.fade = torch.randn(count, 3, generator=random) * 0.2

    def splats(self, position: float) -> Splats:
        return Splats(
            self.start + position * self.way,
            torch.nn.functional.normalize(self.quats + position * self.turn, dim=-1),
            (self.log_scales + 0.5 * position).exp(),
            self.opacities,
            (self.colors + position * self.fade).clamp(0, 1),
        )


@pytest.fixture(scope="module")
def asset():
    return Asset()


def test_what_goes_in_comes_out(asset):
    packed = unpack(pack(asset, seconds=2.5))
    assert packed.seconds == 2.5 and packed.positions == asset.positions.tolist()
    box = torch.cat([asset.splats(p).means for p in packed.positions])
    side = float((box.amax(0) - box.amin(0)).max())
    for position, frame in zip(packed.positions, packed.frames, strict=True):
        splats = asset.splats(position)
        # Half a step of each, which docs/packed_format.md states.
        torch.testing.assert_close(frame.means, splats.means, atol=0.51 * side / 16383, rtol=0)
        torch.testing.assert_close(frame.opacities, splats.opacities, atol=0.51 / 255, rtol=0)
        torch.testing.assert_close(frame.colors, splats.colors, atol=0.51 / 255, rtol=0)
        ratio = (frame.scales / splats.scales.clamp(min=SMALLEST_SCALE)).log().abs()
        assert ratio.max() < 0.014
        cosine = (frame.quats * splats.quats).sum(-1).clamp(max=1)  # the sign is kept, too
        assert torch.rad2deg(2 * cosine.arccos()).max() < 1


def test_time_costs_less_than_the_first_frame(asset):
    header = _header(pack(asset, seconds=1.0))
    looks, first, *later = header["blocks"]
    assert len(later) == 5 and max(later) < 0.9 * first


def test_a_frame_needs_only_those_before_it(asset):
    short = Asset(frames=6)
    short.positions = short.positions[:3]
    whole, part = pack(asset, seconds=1.0), pack(short, seconds=1.0)
    assert len(part) < len(whole)
    header = _header(whole)
    cut = whole[: len(whole) - sum(header["blocks"][4:])]
    with pytest.raises(UserError, match="truncated"):
        unpack(cut)
    header["positions"], header["blocks"] = header["positions"][:3], header["blocks"][:4]
    text = json.dumps(header).encode()
    start = 12 + int.from_bytes(whole[8:12], "little")
    shortened = whole[:8] + len(text).to_bytes(4, "little") + text + cut[start:]
    for a, b in zip(unpack(shortened).frames, unpack(whole).frames, strict=False):
        assert torch.equal(a.means, b.means)


def test_a_file_of_version_1_keeps_its_colours(asset):
    now, before = pack(asset, seconds=1.0), as_version_1(pack(asset, seconds=1.0))
    first, *_ = unpack(now).frames
    for a, b in zip(unpack(before).frames, unpack(now).frames, strict=True):
        assert torch.equal(a.means, b.means) and torch.equal(a.scales, b.scales)
        assert torch.equal(a.colors, first.colors) and torch.equal(a.opacities, b.opacities)


def test_a_file_of_a_later_version_is_told(asset):
    packed = pack(asset, seconds=1.0)
    with pytest.raises(UserError, match="known version"):
        unpack(packed[:4] + (VERSION + 1).to_bytes(4, "little") + packed[8:])


def test_thirty_thousand_gaussians_are_a_few_megabytes():
    asset = Asset(count=1000, frames=24)
    assert len(pack(asset, seconds=1.0)) * 30 < 8e6


def test_the_input_camera_is_in_it(asset):
    camera = unpack(pack(asset, seconds=1.0)).camera
    assert camera == input_camera(asset.cameras)
    assert camera["azimuth"] == pytest.approx(30, abs=1e-3)
    assert camera["elevation"] == pytest.approx(-20, abs=1e-3)
    assert camera["radius"] == pytest.approx(0.5 / math.tan(math.radians(15)), rel=1e-5)
    assert camera["fov"] == pytest.approx(30, rel=1e-5)
    assert camera["target"] == [0, 0, 0]


def test_the_camera_of_a_scene_is_where_it_stood_and_looks_where_it_looked(asset):
    cameras = asset.cameras
    aside = torch.tensor([0.3, 0.1, -0.2])
    moved = cameras.viewmats.clone()
    moved[:, :3, 3] -= moved[:, :3, :3] @ aside
    camera = input_camera(Cameras(moved, cameras.Ks, 64, 64))
    azimuth, elevation = math.radians(camera["azimuth"]), math.radians(camera["elevation"])
    towards = torch.tensor(
        [
            math.cos(elevation) * math.sin(azimuth),
            -math.cos(elevation) * math.cos(azimuth),
            math.sin(elevation),
        ]
    )
    target = torch.tensor(camera["target"])
    torch.testing.assert_close(target + camera["radius"] * towards, cameras.centres()[0] + aside)
    assert target.norm() <= (target + 0.1 * towards).norm()  # the nearest to the origin
    assert target.norm() <= (target - 0.1 * towards).norm()


def test_a_still_object_of_one_gaussian():
    asset = Asset(count=1, frames=2)
    asset.way[:], asset.turn[:] = 0, 0
    frames = unpack(pack(asset, seconds=1.0)).frames
    torch.testing.assert_close(frames[1].means, asset.start)


@pytest.mark.parametrize("kept", [0, 3, 12, 40, -1])
def test_a_file_that_is_cut_off_is_told(asset, kept):
    with pytest.raises(UserError):
        unpack(pack(asset, seconds=1.0)[:kept])


def test_other_files_are_told(asset):
    with pytest.raises(UserError, match="not a packed 4D file"):
        unpack(b"PK\3\4" + pack(asset, seconds=1.0))


def as_version_1(packed: bytes) -> bytes:
    """The file as version 1 wrote it, without planes for the colours of each frame."""
    header, start = _header(packed), 12 + int.from_bytes(packed[8:12], "little")
    blocks = []
    for size in header["blocks"]:
        blocks.append(packed[start : start + size])
        start += size
    count = FRAME_BYTES[1] * header["gaussians"]
    blocks[1:] = [zlib.compress(zlib.decompress(block)[:count]) for block in blocks[1:]]
    text = json.dumps(header | {"blocks": [len(block) for block in blocks]}).encode()
    version = (1).to_bytes(4, "little")
    return b"".join([packed[:4], version, len(text).to_bytes(4, "little"), text, *blocks])


def _header(packed: bytes) -> dict:
    return json.loads(packed[12 : 12 + int.from_bytes(packed[8:12], "little")])

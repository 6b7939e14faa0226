"""Reading of L4GM's files: strict, and at the published size without a gigabyte of values."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from ds4d.errors import UserError
from ds4d.multiview.l4gm.network import BIG, L4GM, load
from tests.fakes import l4gm as tiny

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def state():
    return tiny.weights(tiny.TINY)


def saved(state, folder):
    save_file(state, folder / "recon.safetensors")
    return folder / "recon.safetensors"


def test_a_file_tells_the_sizes_of_its_network(state, tmp_path):
    network = load(saved(state, tmp_path), CPU, torch.float32)
    assert len(network.unet.down_blocks) == 6 and not network.training
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: s.pop("unet.mid_block.nets.1.conv2.bias"), "missing keys: unet.mid_block"),
        (lambda s: s.update(more=torch.zeros(1)), "unexpected keys: more"),
        (lambda s: s.update({"conv.bias": torch.zeros(13)}), r"conv.bias \(has \[13\], needs"),
        (
            lambda s: [s.pop(key) for key in list(s) if ".t_attns." in key],
            "missing keys: .*t_attns",
        ),
        (lambda s: s.pop("unet.up_blocks.2.nets.0.conv1.bias"), "missing keys"),
    ],
)
def test_a_file_of_another_network_is_refused(state, tmp_path, spoil, said):
    state = dict(state)
    spoil(state)
    with pytest.raises(UserError, match=said):
        load(saved(state, tmp_path), CPU, torch.float32)


def test_a_file_of_something_else_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not fit L4GM"):
        load(saved({"weight": torch.zeros(2)}, tmp_path), CPU, torch.float32)


@pytest.mark.filterwarnings("ignore:.*which is a no-op")
def test_a_file_of_the_real_size_is_read(tmp_path):
    """Its values are holes in the file, and its network has none."""
    header, end = {}, 0
    with torch.device("meta"):
        shapes = {key: list(value.shape) for key, value in L4GM(BIG).state_dict().items()}
    for key, shape in shapes.items():
        size = 4 * torch.Size(shape).numel()
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    file = tmp_path / "recon.safetensors"
    with open(file, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + end)
    assert file.stat().st_size == pytest.approx(1.866e9, rel=1e-3) and len(header) == 456
    network = load(file, torch.device("meta"), torch.float16)
    assert sum(value.numel() for value in network.parameters()) == 466_464_544
    assert network.conv.weight.dtype == torch.float16

"""L4GM's network against stored results of the official implementation on random weights."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ds4d.multiview.l4gm.frames import HALF_WIDTH, l4gm_cameras, plucker_rays, reframed, with_rays
from ds4d.multiview.l4gm.gaussians import activated, to_splats
from ds4d.multiview.l4gm.network import BIG, L4GM, Level, Sizes
from tests.paths import GOLDEN, golden_cases

RECORDS = GOLDEN / "g6"
CASES = [path for path in golden_cases("g6/case?.json")]
TOLERANCE = 1e-4


def check(name: str, value: torch.Tensor, expected: np.ndarray) -> None:
    expected = torch.from_numpy(expected)
    error = (value.reshape(expected.shape) - expected).abs().max() / expected.abs().max()
    assert error < TOLERANCE, f"{name}: {error:.1e}"


@pytest.fixture(scope="module", params=CASES, ids=lambda path: path.stem)
def case(request) -> SimpleNamespace:
    facts = json.loads(request.param.read_text())
    tensors = dict(np.load(request.param.with_suffix(".npz")))
    if "rays" not in tensors:
        tensors["rays"] = np.load(RECORDS / "caseA.npz")["rays"]
    state = np.load(RECORDS / facts["weights"])
    state = {name: torch.from_numpy(state[name]).float() for name in state.files}
    return SimpleNamespace(facts=facts, tensors=tensors, state=state)


@pytest.fixture(scope="module")
def network(case) -> L4GM:
    names = ("down_channels", "down_attention", "up_channels", "up_attention")
    sizes = Sizes(*(tuple(case.facts["config"][name]) for name in names))
    assert Sizes.of(case.state) == sizes
    network = L4GM(sizes).eval().requires_grad_(False)
    network.load_state_dict(case.state)
    levels = [x for x in network.unet.modules() if isinstance(x, Level) and x.attended]
    if case.facts["attention_calls_per_forward"] == sum(len(level.attns) for level in levels):
        without_time(network)
    return network


class Passing(torch.nn.Module):
    """In place of attention over time, in the case that was recorded without it."""

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        return x


def without_time(network: L4GM) -> None:
    for level in network.unet.modules():
        if isinstance(level, Level) and level.attended:
            level.t_attns = torch.nn.ModuleList(Passing() for _ in level.t_attns)


def recorded(network: L4GM) -> dict[str, torch.Tensor]:
    """Values at the recorded points by their names, filled in while the network runs."""
    unet, found = network.unet, {}
    points = {"stem": unet.conv_in, "mid": unet.mid_block, "unet_out": unet, "raw": network.conv}
    points |= {f"down{k}": level for k, level in enumerate(unet.down_blocks)}
    points |= {f"up{k}": level for k, level in enumerate(unet.up_blocks)}
    first = next(level for level in unet.down_blocks if level.attended)
    points |= {"first_net": first.nets[0], "first_mv_attn": first.attns[0],
               "first_t_attn": first.t_attns[0]}  # fmt: skip
    for name, module in points.items():

        def keep(module, inputs, output, name=name):
            found[name] = output[0] if isinstance(output, tuple) else output

        module.register_forward_hook(keep)
    return found


def pictures_of(case: SimpleNamespace) -> torch.Tensor:
    """The network's inputs [B, T, V, 9, S, S]."""
    images = torch.from_numpy(case.tensors["images01"])
    images = images.float() / (255 if images.dtype == torch.uint8 else 1)
    return with_rays(images, torch.from_numpy(case.tensors["rays"]))


def test_golden_inputs(case):
    pictures = pictures_of(case).flatten(0, 2)
    check("inputs", pictures[[0, -1]], case.tensors["input_first_last"])


def test_golden_network(case, network):
    found = recorded(network)
    gaussians = activated(network(pictures_of(case)))
    for name, expected in case.tensors.items():
        kind, _, point = name.partition("_")
        if kind == "tap":
            check(point, found[point], expected)
        elif kind == "tapsub":
            check(point, found[point][[0, -1]][:, ::4, 1::2, 1::2], expected)
    check("gaussians", gaussians, case.tensors["gaussians"])


def test_golden_temporal_attention_ignores_the_order_of_frames(case, network):
    pictures = pictures_of(case)
    turned = network(pictures.flip(1)).flip(1)
    check("order", turned, network(pictures).numpy())


def test_golden_rays():
    cameras = np.load(RECORDS / "cameras.npz")
    pick = cameras["rays256_pick"]
    for elevation in (0, 20):  # upwards in the recorded convention is downwards in ours
        rays = plucker_rays((0, 90, 180, 270), 256, elevation_deg=-elevation)
        check("rays", rays[..., pick, :][..., pick], cameras[f"rays256_elev{elevation}"])
    check("rays", plucker_rays((0, 90, 180, 270), 32), cameras["rays32_elev0"])


def test_golden_cameras_and_the_turn_to_our_world(case):
    recorded = np.load(RECORDS / "cameras.npz")
    ours = l4gm_cameras(
        recorded["azimuth_deg"].tolist(), 512, recorded["elevation_deg_from_above"].tolist()
    )
    assert np.abs(ours.viewmats.numpy() - recorded["w2c_opencv_zup"]).max() < 1e-5
    assert np.abs(ours.centres().numpy() - recorded["centre_zup"]).max() < 1e-5
    assert np.abs(ours.Ks[0].numpy() - recorded["K_512"]).max() < 1e-3
    gaussians = torch.from_numpy(np.load(RECORDS / "caseA.npz")["gaussians"][0])
    splats = to_splats(gaussians, faint=0.0)
    assert np.abs(splats.means.numpy() - recorded["caseA_frame0_means_zup"]).max() < 1e-6
    quats = torch.from_numpy(recorded["caseA_frame0_quaternions_zup"])
    assert ((splats.quats * quats).sum(-1).abs() - 1).abs().max() < 1e-5


def test_golden_preparation_of_a_frame():
    recorded = np.load(RECORDS / "preparation.npz")
    for index, name in enumerate(("frame96", "frame512")):
        opaque = np.dstack([recorded[name], np.full(recorded[name].shape[:2], 255, np.uint8)])
        small = reframed(opaque, half_width=HALF_WIDTH)
        assert np.array_equal(small, recorded["area256"][index])


@pytest.mark.parametrize("name", ["recon", "interp"])
def test_golden_keys(name):
    """The published files fit key for key and shape for shape, and tell their own sizes."""
    lines = (RECORDS / f"keys_{name}.txt").read_text().splitlines()
    published = {}
    for key, shape, _ in (line.split("\t") for line in lines):
        published[key] = tuple(int(side) for side in shape.split("x"))
    with torch.device("meta"):
        ours = L4GM(BIG).state_dict()
        assert {key: tuple(value.shape) for key, value in ours.items()} == published
        assert Sizes.of({key: torch.empty(shape) for key, shape in published.items()}) == BIG
    assert sum(value.numel() for value in ours.values()) == 466_464_544

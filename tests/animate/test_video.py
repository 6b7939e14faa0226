"""Clips by video networks with tiny random weights: what comes out is noise."""

from __future__ import annotations

from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest

from ds4d import animate
from ds4d.animate import video
from ds4d.cli import main
from ds4d.config import AnimateConfig, MachineConfig, MattingConfig
from ds4d.errors import UserError
from ds4d.run.events import result
from tests.animate.figures import person

CONFIG = AnimateConfig(frames=6, size=70, steps=2)


@pytest.fixture(scope="module")
def cut_out() -> np.ndarray:
    return person()[:140:2, :140:2]


@pytest.mark.parametrize("network", [video.wan, video.svd])
def test_frames_have_the_size_that_the_network_allows(network, cut_out, machine):
    frames = result(network(cut_out, CONFIG, machine))
    assert frames.shape == (6, 64, 64, 3) and frames.dtype == np.uint8
    assert np.ptp(frames) > 0


@pytest.mark.parametrize("network", [video.wan, video.svd])
def test_the_seed_alone_decides(network, cut_out, machine):
    first, again, other = (
        result(network(cut_out, replace(CONFIG, seeds=(seed,)), machine)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_words_and_low_memory_reach_wan(cut_out, machine):
    usual = result(video.wan(cut_out, CONFIG, machine))
    told = result(video.wan(cut_out, replace(CONFIG, prompt="it waves"), machine))
    assert (usual != told).any()
    small = result(video.wan(cut_out, CONFIG, replace(machine, low_memory=True)))
    assert small.shape == usual.shape


def test_several_seeds_are_shown_side_by_side(tmp_path, weights, disc_matte, capsys):
    iio.imwrite(tmp_path / "person.png", person())
    out = tmp_path / "person.webp"
    line = ["animate", str(tmp_path / "person.png"), "--out", str(out), "--engine", "wan"]
    options = ["--weights", str(weights), "--device", "cpu", "--frames", "6", "--size", "64"]
    assert main([*line, *options, "--steps", "2", "--seeds", "4", "7"]) == 0
    assert iio.imread(out, index=0).shape[:2] == (animate.PREVIEW, 2 * animate.PREVIEW)
    first, second = (tmp_path / f"person_seed{seed}.webp" for seed in (4, 7))
    assert iio.imread(first, index=0).shape == (64, 64, 4)
    assert first.read_bytes() != second.read_bytes()
    assert "wan: asked for" in capsys.readouterr().err


def test_a_stopped_run_over_seeds_goes_on(tmp_path, weights, disc_matte, monkeypatch):
    iio.imwrite(tmp_path / "person.png", person())
    filmed, out = [], tmp_path / "person.webp"

    def film(cut_out, config, machine):
        filmed.append(config.seeds)
        if len(filmed) == 2:
            raise KeyboardInterrupt
        yield from ()
        return np.full((2, 64, 64, 3), 90 + config.seeds[0], np.uint8)

    monkeypatch.setattr(video, "svd", film)
    line = ["animate", str(tmp_path / "person.png"), "--out", str(out), "--engine", "svd"]
    line += ["--weights", str(weights), "--device", "cpu", "--size", "64", "--seeds", "0", "1"]
    assert main(line) == 130 and not out.exists()
    kept = (tmp_path / "person_seed0.webp").stat().st_mtime_ns
    assert main(line) == 0 and out.exists()
    assert filmed == [(0,), (1,), (1,)]
    assert (tmp_path / "person_seed0.webp").stat().st_mtime_ns == kept
    assert main([*line, "--steps", "3"]) == 0 and filmed[3:] == [(0,), (1,)]


def test_a_network_without_weights_or_gpu_is_refused(tmp_path, capsys, monkeypatch):
    iio.imwrite(tmp_path / "person.png", person())
    line = ["animate", str(tmp_path / "person.png"), "--out", str(tmp_path / "person.webp")]
    options = ["--weights", str(tmp_path), "--device", "cpu"]
    monkeypatch.setattr("ds4d.weights.reachability.obstacle", lambda url: "it is off")
    assert main([*line, *options, "--engine", "svd"]) == 1
    told = capsys.readouterr().err
    assert "The weights svd-xt of svd are not here" in told and "puppet" in told
    monkeypatch.setattr("ds4d.weights.reachability.obstacle", lambda url: "")
    assert main([*line, *options, "--engine", "wan"]) == 1
    assert "wan needs a GPU, which is not here, and weights of 34.20 GB" in capsys.readouterr().err
    assert not (tmp_path / "person.webp").exists()


def test_auto_takes_wan_where_its_weights_are_given_and_the_puppet_elsewhere(machine, tmp_path):
    chosen = animate.choose(AnimateConfig(), machine, MattingConfig())
    assert chosen.name == "wan" and chosen.weights == ("wan2.2-ti2v-5b",)
    elsewhere = MachineConfig(device="cpu", weights=str(tmp_path))
    assert animate.choose(AnimateConfig(), elsewhere, MattingConfig()).name == "puppet"


def test_the_puppet_takes_one_seed(tmp_path):
    config = AnimateConfig(engine="puppet", seeds=(0, 1))
    iio.imwrite(tmp_path / "person.png", person())
    making = animate.animate(
        tmp_path / "person.png", tmp_path / "a.webp", config, MachineConfig(), MattingConfig()
    )
    with pytest.raises(UserError, match="all seeds give the same clip"):
        result(making)

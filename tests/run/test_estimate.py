"""Estimated times and memory grow with the work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ds4d.presets import PRESETS
from ds4d.run.estimate import expected, slowness
from ds4d.run.events import STAGES


def seconds(config, frames=24, gpu="", cores=2) -> float:
    return sum(cost.seconds for cost in expected(config, frames, gpu, cores))


def test_every_stage_has_its_cost_in_order():
    for config in PRESETS.values():
        for gpu in ("", "NVIDIA H200"):
            costs = expected(config, 24, gpu, 2)
            assert [cost.stage for cost in costs] == list(STAGES)
            assert all(cost.seconds > 0 and cost.memory_gb > 0 for cost in costs)


def test_a_preview_on_two_cores_takes_the_measured_two_minutes():
    assert 90 < seconds(PRESETS["preview"]) < 150


@pytest.mark.parametrize("gpu", ["", "NVIDIA H200"])
def test_finer_presets_take_longer(gpu):
    preview, standard, paper = (seconds(PRESETS[name], gpu=gpu) for name in PRESETS)
    assert preview < standard < paper


def test_more_of_anything_takes_longer():
    config = PRESETS["preview"]
    fourd = config.fourd
    usual = seconds(config)
    assert seconds(config, frames=48) > usual
    assert seconds(replace(config, fourd=replace(fourd, dynamic_iterations=9000))) > 1.5 * usual
    assert seconds(replace(config, fourd=replace(fourd, max_gaussians=9000))) > usual
    assert seconds(replace(config, videos=replace(config.videos, size=768))) > usual


def test_l4gm_is_quick_on_a_gpu_and_slow_and_large_on_a_cpu():
    config = PRESETS["preview"]
    l4gm = replace(config, multiview=replace(config.multiview, engine="l4gm"))
    assert seconds(l4gm, gpu="NVIDIA H200") < seconds(config, gpu="NVIDIA H200")
    assert seconds(l4gm) > seconds(config) + 300
    views = next(c for c in expected(l4gm, 24, "", 2) if c.stage == "multiview")
    assert views.memory_gb > 12


def test_a_depth_network_takes_its_time_on_a_cpu():
    config = PRESETS["preview"]
    relief = replace(config, multiview=replace(config.multiview, engine="relief"))
    assert seconds(relief) > seconds(config) + 10
    assert seconds(relief, gpu="NVIDIA H200") == seconds(config, gpu="NVIDIA H200")


def test_machines_differ_in_speed():
    assert slowness("NVIDIA H200", 2) == 1
    assert slowness("NVIDIA A100-SXM4-80GB", 2) == pytest.approx(2.4)
    assert slowness("NVIDIA L4", 2) > slowness("NVIDIA L40S", 2) > 1
    assert slowness("", 1) > slowness("", 2) > slowness("", 4) == slowness("", 64)

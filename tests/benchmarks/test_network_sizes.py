"""The networks that the code builds are as large as the published files of their weights."""

from __future__ import annotations

import pytest

from benchmarks import network_sizes


@pytest.mark.parametrize("name", ["wan2.2-ti2v-5b", "svd-xt", "sdxl-base", "rife-4.6"])
def test_parameters_make_up_the_published_bytes(name):
    row = network_sizes.measure(name)
    assert row["bytes"] == pytest.approx(row["published_bytes"], rel=0.01)

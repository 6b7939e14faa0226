"""Steps captured as CUDA graphs, on machines with a GPU."""

from __future__ import annotations

import pytest
import torch

from ds4d.fourd.cuda_graph import GraphedStep

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def test_every_call_computes_with_its_own_inputs_and_crowding_asks_for_another_capture():
    total, calls, crowded = torch.zeros(1, device="cuda"), [], [False]

    def compute(inputs):
        calls.append(torch.cuda.is_current_stream_capturing())
        total.add_(inputs["x"])

    graphed = GraphedStep(compute, lambda: crowded[0])
    for value in range(1, 6):
        graphed("shape", {"x": torch.full((1,), float(value), device="cuda")})
    assert total.item() == 15 and calls == [False, True]
    crowded[0] = True
    graphed("shape", {"x": torch.ones(1, device="cuda")})
    assert total.item() == 16 and calls == [False, True, False]
    crowded[0] = False
    graphed("other", {"x": torch.ones(1, device="cuda")})
    assert total.item() == 17 and calls[-1] is False

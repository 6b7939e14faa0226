"""Adam against torch's own."""

import torch

from ds4d.kernels.numba.adam import Adam

SHAPES = [(7,), (40, 3), (3, 16, 5, 4), (1000,)]


def test_steps_are_those_of_torch():
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for shape in SHAPES]
    start[2] = start[2].contiguous(memory_format=torch.channels_last)
    runs = []
    for kind in (Adam, torch.optim.Adam):
        tensors = [tensor.clone().requires_grad_() for tensor in start]
        groups = [{"params": tensors[:2], "lr": 0.1}, {"params": tensors[2:], "lr": 0.01}]
        optimizer = kind(groups, eps=1e-15)
        gradients = torch.Generator().manual_seed(1)
        for step in range(6):
            for tensor in tensors[step % 2 :]:  # the first one rests now and then
                tensor.grad = torch.randn(tensor.shape, generator=gradients)
            optimizer.step()
            optimizer.zero_grad()
            optimizer.param_groups[0]["lr"] *= 0.9
        runs.append((tensors, optimizer))
    (ours, one), (theirs, other) = runs
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
        for name, value in other.state[b].items():
            torch.testing.assert_close(one.state[a][name], value, rtol=1e-5, atol=1e-7)

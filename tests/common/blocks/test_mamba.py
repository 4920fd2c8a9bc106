"""The Mamba block: its formula written out, its parameters, its initialisation, its gradients."""

import pytest
import torch
from torch.nn import functional as F

from common.blocks.mamba import MambaBlock


def written_out(block: MambaBlock, tokens: torch.Tensor) -> torch.Tensor:
    """The block of the paper, token by token, for one batch entry (L, C)."""
    (inner, states), rank = block.A_log.shape, block.dt_rank
    window = tokens.new_zeros(block.conv1d.kernel_size[0], inner)
    state = tokens.new_zeros(inner, states)
    results = []
    for token in tokens:
        u, z = (block.in_proj.weight @ token).split(inner)
        window = torch.cat([window[1:], u[None]])
        u = F.silu((block.conv1d.weight[:, 0] * window.T).sum(1) + block.conv1d.bias)
        low, B, C = (block.x_proj.weight @ u).split([rank, states, states])
        d = F.softplus(block.dt_proj.weight @ low + block.dt_proj.bias)
        decay = torch.exp(-d[:, None] * block.A_log.exp())
        state = decay * state + (d * u)[:, None] * B
        results.append(block.out_proj.weight @ ((state @ C + block.D * u) * F.silu(z)))
    return torch.stack(results)


@pytest.mark.parametrize(("channels", "states", "conv", "expand"), [(8, 4, 4, 2), (5, 3, 2, 1), (48, 16, 4, 2)])
def test_equals_the_recurrence_written_out(channels, states, conv, expand):
    block = MambaBlock(channels, states, conv, expand).double().eval()
    tokens = torch.randn(2, 37, channels, dtype=torch.float64)
    with torch.no_grad():
        expected = torch.stack([written_out(block, entry) for entry in tokens])
        torch.testing.assert_close(block(tokens), expected, rtol=1e-9, atol=1e-11)


def test_parameter_names_and_shapes_are_the_authors():
    shapes = {name: tuple(p.shape) for name, p in MambaBlock(96).named_parameters()}
    assert shapes == {
        "A_log": (192, 16),
        "D": (192,),
        "in_proj.weight": (384, 96),
        "conv1d.weight": (192, 1, 4),
        "conv1d.bias": (192,),
        "x_proj.weight": (38, 192),
        "dt_proj.weight": (192, 6),
        "dt_proj.bias": (192,),
        "out_proj.weight": (96, 192),
    }


def test_initialisation_follows_the_paper():
    block = MambaBlock(96)
    steps = F.softplus(block.dt_proj.bias)
    assert steps.min() >= 1e-4 * 0.99 and steps.max() <= 0.1 * 1.01
    assert block.dt_proj.weight.abs().max() <= 6**-0.5
    torch.testing.assert_close(block.A_log.exp()[3], torch.arange(1, 17).float())


def test_gradients_reach_every_parameter():
    block = MambaBlock(8, 4)
    block(torch.randn(1, 20, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.parameters())

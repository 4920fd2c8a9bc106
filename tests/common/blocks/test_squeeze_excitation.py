import pytest
import torch

from common.blocks.squeeze_excitation import SqueezeExcitation


@pytest.mark.parametrize(("channels", "hidden"), [(8, 0), (16, 1), (48, 3)])
def test_gate_is_the_formula(channels, hidden):
    gate = SqueezeExcitation(channels)
    assert gate.squeeze.shape == (hidden, channels)
    x = torch.randn(2, channels, 3, 4, 2)
    means = x.mean((2, 3, 4))
    inner = means @ gate.squeeze.T
    inner = torch.where(inner > 0, inner, 0.01 * inner)
    expected = x * torch.sigmoid(inner @ gate.excite.T)[:, :, None, None, None]
    torch.testing.assert_close(gate(x), expected)
    with torch.no_grad():
        torch.testing.assert_close(gate(x.clone()), expected)


def test_a_gate_that_learns_keeps_one_hidden_unit():
    gate = SqueezeExcitation(8, constant_gate=False)
    assert gate.squeeze.shape == (1, 8) and gate.squeeze.requires_grad
    assert not SqueezeExcitation(8).squeeze.requires_grad

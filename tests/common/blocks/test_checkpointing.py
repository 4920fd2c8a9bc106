import pytest
import torch
from torch import nn

from common.blocks.checkpointing import run_checkpointed


class Counting(nn.Module):
    """A sum of its inputs times a weight that counts how often it is computed."""

    def __init__(self):
        super().__init__()
        self.weight, self.calls = nn.Parameter(torch.tensor(2.0)), 0

    def forward(self, *inputs):
        self.calls += 1
        return (self.weight * sum(inputs)).sin()


@pytest.mark.parametrize(("enabled", "calls"), [(True, 2), (False, 1)])
def test_is_computed_again_in_the_backward_pass_where_asked_for(enabled, calls):
    module, inputs = Counting(), [torch.randn(3, requires_grad=True) for _ in range(2)]
    out = run_checkpointed(module, enabled, *inputs)
    expected = torch.autograd.grad((2.0 * sum(inputs)).sin().sum(), inputs)
    assert module.calls == 1
    gradients = torch.autograd.grad(out.sum(), inputs)
    assert module.calls == calls
    for ours, plain in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, plain)


def test_weights_learn_though_no_input_asks_for_a_gradient():
    module = Counting()
    run_checkpointed(module, True, torch.ones(3)).sum().backward()
    assert module.weight.grad is not None and module.calls == 2


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Counting()

    def forward(self, x):
        return run_checkpointed(self.inner, True, x)


def test_inference_and_tracing_take_the_plain_way():
    module, x = Checkpointed(), torch.arange(3.0)
    with torch.no_grad():
        expected = module(x)
    assert module.inner.calls == 1
    traced = torch.jit.trace(module, torch.ones(3), check_trace=False)
    torch.testing.assert_close(traced(x), expected)


def test_randomness_is_the_same_when_computed_again():
    dropout, x = nn.Dropout(0.5).train(), torch.ones(1000, requires_grad=True)
    out = run_checkpointed(dropout, True, x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())

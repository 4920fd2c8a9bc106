"""The causal convolution: PyTorch's, and the authors' kernel called as it wants where it is installed."""

import sys
import types

import pytest
import torch
from torch.nn import functional as F

from common.blocks.mamba import MambaBlock
from common.errors import InputError
from common.scan import causal

from .cases import relative_error


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.delitem(sys.modules, "causal_conv1d", raising=False)
    causal._kernel.cache_clear()
    yield
    causal._kernel.cache_clear()


def oracle(u: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Written out in float64: token l is bias + sum over k of weight[k] u[l - (width - 1) + k], then SiLU."""
    u, weight, bias = (t.detach().double() for t in (u, weight, bias))
    width, out = weight.shape[-1], torch.zeros_like(u) + bias[:, None]
    for token in range(u.shape[-1]):
        for tap in range(width):
            if (at := token - (width - 1) + tap) >= 0:
                out[:, :, token] += weight[:, 0, tap] * u[:, :, at]
    return out * torch.sigmoid(out)


def inputs(channels: int = 6, length: int = 11, width: int = 4) -> list[torch.Tensor]:
    return [torch.randn(2, channels, length), torch.randn(channels, 1, width), torch.randn(channels)]


@pytest.mark.parametrize("width", [1, 2, 4, 5])
@pytest.mark.parametrize("length", [1, 3, 11])
def test_equals_the_sum_written_out(width, length):
    tensors = inputs(length=length, width=width)
    assert relative_error(causal.causal_convolution(*tensors), oracle(*tensors)) < 1e-6


def kernel(x, weight, bias=None, seq_idx=None, initial_states=None, return_final_states=False, final_states_out=None,
           activation=None):  # fmt: skip
    """Stands for the authors' function: their signature and what their C++ code demands of its tensors."""
    assert x.stride(2) == 1 or x.stride(1) == 1
    if x.stride(2) != 1:
        assert x.shape[1] % 8 == 0 and x.stride(0) % 8 == 0 and x.stride(2) % 8 == 0
    assert weight.shape == (x.shape[1], weight.shape[1]) and 2 <= weight.shape[1] <= 4 and activation == "silu"
    kernel.calls += 1
    out = F.conv1d(x, weight[:, None], bias, padding=weight.shape[1] - 1, groups=x.shape[1])[..., : x.shape[2]]
    return F.silu(out)


@pytest.fixture
def installed(monkeypatch):
    """A causal-conv1d that computes on the CPU, believed to be a GPU."""
    module = types.ModuleType("causal_conv1d")
    module.causal_conv1d_fn, module.__version__, kernel.calls = kernel, "1.7.0", 0
    monkeypatch.setitem(sys.modules, "causal_conv1d", module)
    found = causal.availability
    monkeypatch.setattr(causal, "availability", lambda device: found("cuda"))


@pytest.mark.parametrize(("channels", "calls"), [(8, 1), (6, 1), (5, 1)])
def test_the_installed_kernel_gets_what_it_wants_and_gradients_flow(installed, channels, calls):
    u, weight, bias = (t.requires_grad_() for t in inputs(channels))
    tokens = u.transpose(1, 2).contiguous().transpose(1, 2)  # channel-last, as a block hands them over
    out = causal.causal_convolution(tokens, weight, bias)
    assert kernel.calls == calls and relative_error(out, oracle(u, weight, bias)) < 1e-6
    gradients = torch.autograd.grad(out.sum(), [u, weight, bias])
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_a_mamba_block_calls_it(installed):
    torch.manual_seed(0)
    block, tokens = MambaBlock(8), torch.randn(1, 12, 8)
    out = block(tokens)
    assert kernel.calls == 1
    kernel.calls = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(causal, "availability", lambda device: (False, "not here"))
        torch.testing.assert_close(block(tokens), out)
    assert kernel.calls == 0


@pytest.mark.parametrize(("width", "dtype"), [(5, torch.float32), (4, torch.float64)])
def test_what_the_kernel_cannot_do_is_left_to_torch(installed, width, dtype):
    tensors = [t.to(dtype) for t in inputs(8, width=width)]
    assert relative_error(causal.causal_convolution(*tensors), oracle(*tensors)) < 1e-6 and kernel.calls == 0


def test_the_environment_forbids_it(installed, monkeypatch):
    monkeypatch.setenv("CAUSAL_CONV1D", "off")
    causal.causal_convolution(*inputs(8))
    assert kernel.calls == 0 and causal.availability("cuda") == (False, "CAUSAL_CONV1D forbids causal-conv1d")
    monkeypatch.setenv("CAUSAL_CONV1D", "perhaps")
    with pytest.raises(InputError, match="expected CAUSAL_CONV1D to be true or false"):
        causal.causal_convolution(*inputs(8))


def test_reasons_are_told(monkeypatch):
    assert causal.availability("cpu") == (False, "causal-conv1d computes on NVIDIA GPUs only, the tensors are on cpu")
    monkeypatch.setitem(sys.modules, "causal_conv1d", None)
    available, reason = causal.availability("cuda")
    assert (
        not available and "cannot be imported (ModuleNotFoundError" in reason and "pip install causal-conv1d" in reason
    )

"""The compiled gradients, held to PyTorch's in double precision."""

import pytest
import torch
from torch.nn import functional as F

from common.convolution import gradients, ops

pytest.importorskip("numba")

SHAPES = [(1, 16, 3, 5, 2), (2, 48, 4, 1, 6), (1, 32, 1, 2, 1)]


def channels_last(x):
    return x.contiguous(memory_format=torch.channels_last_3d)


def gradient_of(function, x, weights):
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    return torch.autograd.grad((function(x) * weights).sum(), x)[0]


@pytest.fixture(params=[1, 2])
def threads(request):
    """Run on one and on two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("mode", ["trilinear", "nearest"])
@pytest.mark.parametrize("shape", SHAPES)
def test_doubling(shape, mode, threads):
    x = channels_last(torch.randn(shape))
    weights = torch.randn(*shape[:2], *[2 * n for n in shape[2:]])
    expected = gradient_of(lambda v: F.interpolate(v, scale_factor=2.0, mode=mode), x.double(), weights.double())
    for laid in (weights, channels_last(weights)):
        actual = gradient_of(lambda v: gradients.doubled(v, mode), x, laid)
        torch.testing.assert_close(actual, expected.float(), atol=1e-5, rtol=1e-5)


def test_doubling_takes_a_slice_of_a_wider_gradient():
    wide = torch.randn(2, 6, 4, 8, 48)  # (B, 2X, 2Y, 2Z, C + S)
    flat, pitch = gradients._with_pitch(wide[0, ..., :32])
    assert pitch == 48
    assert flat.shape == ((6 * 4 * 8 - 1) * 48 + 32,)
    x, skip = (channels_last(torch.randn(2, c, *s)) for c, s in ((32, (3, 2, 4)), (16, (6, 4, 8))))
    weights = wide.permute(0, 4, 1, 2, 3)
    actual = gradient_of(lambda v: torch.cat([gradients.doubled(v, "trilinear"), skip], 1), x, weights)
    expected = gradient_of(lambda v: F.interpolate(v, scale_factor=2.0, mode="trilinear"), x, weights[:, :32])
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 16, 4, 6, 8), (2, 32, 8, 4, 6)])
def test_average_pool(shape, threads):
    x = channels_last(torch.randn(shape))
    weights = torch.randn(*shape[:2], *[n // 2 for n in shape[2:]])
    expected = gradient_of(lambda v: F.avg_pool3d(v, 3, stride=2, padding=1), x.double(), weights.double())
    torch.testing.assert_close(gradient_of(ops.average_pool, x, weights), expected.float(), atol=1e-6, rtol=1e-5)
    out = ops.average_pool(x.clone(memory_format=torch.preserve_format).requires_grad_())
    torch.testing.assert_close(out, F.avg_pool3d(x, 3, stride=2, padding=1), atol=1e-6, rtol=1e-5)


def test_bfloat16_is_rounded_once():
    x = channels_last(torch.randn(1, 16, 4, 4, 6)).bfloat16()
    doubling = {"scale_factor": 2.0, "mode": "trilinear"}
    for function, plain, size in (
        (lambda v: gradients.doubled(v, "trilinear"), lambda v: F.interpolate(v, **doubling), (8, 8, 12)),
        (ops.average_pool, lambda v: F.avg_pool3d(v, 3, stride=2, padding=1), (2, 2, 3)),
    ):
        weights = torch.randn(1, 16, *size)
        weights = weights.bfloat16()
        actual = gradient_of(function, x, weights)
        assert actual.dtype == torch.bfloat16
        torch.testing.assert_close(actual.float(), gradient_of(plain, x.float(), weights.float()), atol=0.01, rtol=0.01)


@pytest.mark.parametrize("function", [lambda v: gradients.doubled(v, "trilinear"), ops.average_pool])
def test_a_gradient_can_be_differentiated(function):
    x = channels_last(torch.randn(1, 16, 4, 6, 4)).requires_grad_()
    first = torch.autograd.grad(function(x).square().sum(), x, create_graph=True)[0]
    second = torch.autograd.grad(first.square().sum(), x)[0]
    # With A the linear map: first = 2 A'A x, and so second = 8 (A'A)^2 x = 4 A'A first.
    again = torch.autograd.grad((4 * function(x) * function(first.detach())).sum(), x)[0]
    torch.testing.assert_close(second, again, atol=1e-4, rtol=1e-4)


def test_other_widths_and_precisions_take_pytorch():
    x = torch.randn(1, 3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert "Doubling" not in type(gradients.doubled(x, "nearest").grad_fn).__name__
    assert torch.autograd.gradcheck(lambda v: gradients.doubled(v, "trilinear"), x)

"""The compiled squaring, held to the composition that it replaces."""

import numpy as np
import pytest
import torch

from common.compiled import compiling
from common.spatial import compose, integrate
from common.spatial.squaring import _reach, can_square_compiled, square_compiled
from tests.conftest import smooth_ddf

pytest.importorskip("numba")


def composed(velocity, steps):
    field = velocity / 2**steps
    for _ in range(steps):
        field = compose(field, field)
    return field


@pytest.mark.parametrize("shape", [(19, 8, 11), (3, 2, 5), (40, 7, 6)])
@pytest.mark.parametrize("batch", [1, 2])
def test_equals_composition(shape, batch):
    """Strong enough that many positions lie outside of the grid."""
    velocity = smooth_ddf(shape, 6.0, batch=batch, seed=3)
    torch.testing.assert_close(square_compiled(velocity, 6, composed), composed(velocity, 6), atol=2e-4, rtol=0)


def test_just_outside_fades_to_zero_as_the_warp_does():
    field = torch.full((1, 3, 6, 6, 6), 0.0)
    field[:, 2] = -0.75
    torch.testing.assert_close(square_compiled(2 * field, 1, composed), compose(field, field), atol=1e-6, rtol=0)


def gradients(function, velocity, weights):
    """The gradient of a weighted sum of ``function(velocity)``."""
    velocity = velocity.clone().requires_grad_()
    return torch.autograd.grad((function(velocity) * weights).sum(), velocity)[0]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("shape", "batch"), [((19, 8, 11), 1), ((3, 2, 5), 2), ((40, 7, 6), 2)])
def test_gradient_equals_that_of_the_composition_in_double_precision(shape, batch, threads):
    """Positions beyond every face; two threads write into each other's rows."""
    velocity = smooth_ddf(shape, 4.0, batch=batch, seed=5)
    weights = torch.randn(velocity.shape, generator=torch.Generator().manual_seed(1))
    expected = gradients(lambda v: composed(v, 5), velocity.double(), weights.double())
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        actual = gradients(integrate_five, velocity, weights)
    finally:
        torch.set_num_threads(before)
    assert actual.dtype == torch.float32
    assert (actual - expected).norm() < 1e-5 * expected.norm()


def integrate_five(velocity):
    return integrate(velocity, 5)


def test_gradient_of_a_gradient_is_pytorchs():
    velocity = smooth_ddf((6, 5, 7), 1.0, seed=2)

    def twice(function, start):
        start = start.clone().requires_grad_()
        first = torch.autograd.grad(function(start).square().sum(), start, create_graph=True)[0]
        return torch.autograd.grad(first.square().sum(), start)[0]

    torch.testing.assert_close(
        twice(lambda v: integrate(v, 3), velocity), twice(lambda v: composed(v, 3), velocity.double()).float(),
        rtol=1e-3, atol=1e-3,
    )  # fmt: skip


def test_zero_steps_and_half_precision_keep_their_gradient():
    velocity = smooth_ddf((5, 6, 4), 1.0, seed=4)
    weights = torch.ones_like(velocity)
    torch.testing.assert_close(gradients(lambda v: integrate(v, 0), velocity, weights), weights)
    half = gradients(lambda v: integrate(v, 4), velocity.bfloat16(), weights)
    full = gradients(lambda v: integrate(v, 4), velocity.bfloat16().float(), weights)
    torch.testing.assert_close(half, full.bfloat16())


def test_a_threads_rows_reach_as_far_as_its_displacements():
    field = np.zeros((10, 2, 2, 3), np.float32)
    assert _reach(field, 4, 6) == (3, 8)
    field[4:6, ..., 0] = -2.5
    assert _reach(field, 4, 6) == (0, 6)
    field[5, 0, 0, 0] = np.nan
    assert _reach(field, 4, 6) == (0, 10)


def test_which_fields_the_kernel_takes():
    velocity = smooth_ddf((9, 10, 8), 2.0)
    assert can_square_compiled(velocity)
    assert not can_square_compiled(velocity.double())
    assert can_square_compiled(velocity.clone().requires_grad_())
    with torch.no_grad():
        fast = integrate(velocity.clone().requires_grad_())
    assert not fast.requires_grad
    torch.testing.assert_close(fast, integrate(velocity.clone().requires_grad_()).detach())


def test_without_numba_plain_pytorch_integrates(monkeypatch):
    velocity = smooth_ddf((9, 10, 8), 2.0)
    fast = integrate(velocity)
    monkeypatch.setattr("common.spatial.squaring.importable", lambda: False)
    torch.testing.assert_close(integrate(velocity), fast, atol=1e-4, rtol=0)


def test_importable_survives_a_broken_installation(monkeypatch):
    def broken(name):
        raise OSError("numba is half installed")

    monkeypatch.setattr(compiling.importlib, "import_module", broken)
    assert compiling.importable.__wrapped__() is False


def test_a_field_that_is_not_finite_does_not_crash():
    velocity = torch.full((1, 3, 5, 5, 5), float("nan"))
    assert torch.isnan(square_compiled(velocity, 3, composed)).all()

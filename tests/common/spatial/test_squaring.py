"""The compiled squaring, held to the composition that it replaces."""

import pytest
import torch

from common import compiled
from common.spatial import compose, integrate
from common.spatial.squaring import can_square_compiled, square_compiled
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
    torch.testing.assert_close(square_compiled(velocity, 6), composed(velocity, 6), atol=2e-4, rtol=0)


def test_just_outside_fades_to_zero_as_the_warp_does():
    field = torch.full((1, 3, 6, 6, 6), 0.0)
    field[:, 2] = -0.75
    torch.testing.assert_close(square_compiled(2 * field, 1), compose(field, field), atol=1e-6, rtol=0)


def test_integrate_takes_it_without_gradients_only():
    velocity = smooth_ddf((9, 10, 8), 2.0)
    assert can_square_compiled(velocity)
    assert not can_square_compiled(velocity.double())
    assert not can_square_compiled(velocity.clone().requires_grad_())
    with torch.no_grad():
        fast = integrate(velocity.clone().requires_grad_())
    torch.testing.assert_close(fast, integrate(velocity.clone().requires_grad_()).detach(), atol=1e-4, rtol=0)


def test_without_numba_plain_pytorch_integrates(monkeypatch):
    velocity = smooth_ddf((9, 10, 8), 2.0)
    fast = integrate(velocity)
    monkeypatch.setattr("common.spatial.squaring.importable", lambda: False)
    torch.testing.assert_close(integrate(velocity), fast, atol=1e-4, rtol=0)


def test_importable_survives_a_broken_installation(monkeypatch):
    def broken(name):
        raise OSError("numba is half installed")

    monkeypatch.setattr(compiled.importlib, "import_module", broken)
    assert compiled.importable.__wrapped__() is False


def test_a_field_that_is_not_finite_does_not_crash():
    velocity = torch.full((1, 3, 5, 5, 5), float("nan"))
    assert torch.isnan(square_compiled(velocity, 3)).all()

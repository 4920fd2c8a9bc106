"""The inverse and its residual."""

import torch

from common.spatial import compose, invert
from tests.conftest import smooth_ddf


def test_undoes_the_field():
    ddf = smooth_ddf((24, 20, 22), 2.0).double()
    inverse, residual = invert(ddf)
    inner = (slice(None), slice(None), *[slice(4, -4)] * 3)
    assert float(compose(ddf, inverse, padding="border")[inner].abs().max()) < 0.011
    torch.testing.assert_close(
        compose(ddf, inverse, padding="border").norm(dim=1, keepdim=True), residual, rtol=0, atol=1e-6
    )


def test_solves_where_the_field_stretches_by_more_than_the_fixed_point_can():
    """x -> x + 3 (x - 12) stretches four times: v <- -u(x + v) would run away."""
    ddf = torch.zeros(1, 3, 25, 4, 4, dtype=torch.float64)
    ddf[:, 0] = 3 * (torch.arange(25.0, dtype=torch.float64) - 12)[:, None, None]
    inverse, residual = invert(ddf)
    assert float(residual.max()) <= 0.01
    expected = -0.75 * (torch.arange(25.0, dtype=torch.float64) - 12)
    torch.testing.assert_close(inverse[0, 0, :, 1, 1], expected, rtol=0, atol=0.01)

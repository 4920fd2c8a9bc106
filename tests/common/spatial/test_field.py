"""Exponential, composition, inversion and resizing of fields."""

import pytest
import torch

from common.spatial import compose, integrate, invert, remainder, resize_ddf, warp
from tests.conftest import smooth_ddf

SHAPE = (20, 24, 18)
INSIDE = (..., slice(5, -5), slice(5, -5), slice(5, -5))


def test_composition_acts_like_two_warps():
    image = 10 * smooth_ddf(SHAPE, 1.0, seed=3)[:, :1]
    first, second = smooth_ddf(SHAPE, 1.5, seed=1), smooth_ddf(SHAPE, 1.5, seed=2)
    twice = warp(warp(image, first), second)
    once = warp(image, compose(first, second))
    assert (twice - once)[INSIDE].abs().max() < 0.1  # two interpolations against one


def test_the_order_of_composition():
    """A stretch by a tenth, then a shift by one voxel: the shift is felt by the stretch, not the other way."""
    stretch, shift = torch.zeros(1, 3, *SHAPE), torch.zeros(1, 3, *SHAPE)
    index = torch.arange(SHAPE[0]).float().view(-1, 1, 1).expand(SHAPE)
    stretch[:, 0], shift[:, 0] = 0.1 * index, 1.0
    torch.testing.assert_close(compose(stretch, shift)[0, 0][:-1], (1 + 0.1 * (index + 1))[:-1], atol=1e-4, rtol=0)
    torch.testing.assert_close(compose(shift, stretch, "border")[0, 0], 1 + 0.1 * index, atol=1e-4, rtol=0)


def test_constant_fields_add_up():
    first, second = torch.full((1, 3, *SHAPE), 0.75), torch.full((1, 3, *SHAPE), -0.25)
    torch.testing.assert_close(compose(first, second, padding="border"), first + second, atol=1e-5, rtol=0)


def test_integration_equals_monai():
    from monai.networks.blocks import DVF2DDF

    velocity = smooth_ddf(SHAPE, 2.0)
    reference = DVF2DDF(num_steps=7, mode="bilinear", padding_mode="zeros")(velocity)
    torch.testing.assert_close(integrate(velocity, 7), reference, atol=1e-4, rtol=0)


def test_integration_converges_to_the_flow_of_the_field():
    """An affine velocity ``v(x) = a (x - c)`` has the closed solution ``(exp(a) - 1) (x - c)``."""
    axis = torch.arange(21, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))[None] - 10
    exact = (torch.tensor(-0.2, dtype=torch.float64).exp() - 1) * grid
    error = (integrate(-0.2 * grid, 7) - exact)[INSIDE].abs().max()
    assert error < 5e-3
    assert (integrate(-0.2 * grid, 2) - exact)[INSIDE].abs().max() > error


def test_zero_steps_return_the_velocity():
    velocity = smooth_ddf(SHAPE)
    assert torch.equal(integrate(velocity, 0), velocity)


def test_negative_steps_are_refused():
    with pytest.raises(ValueError, match="at least 0, got -1"):
        integrate(torch.zeros(1, 3, 4, 4, 4), -1)


def test_the_inverse_undoes_the_field_on_both_sides():
    ddf = smooth_ddf(SHAPE, 3.0)
    inverse = invert(ddf, tolerance=1e-5)[0]
    assert compose(ddf, inverse, "border")[INSIDE].abs().max() < 1e-3
    assert compose(inverse, ddf, "border")[INSIDE].abs().max() < 0.1  # the inverse is itself interpolated
    assert ddf[INSIDE].abs().max() > 1


def test_the_remainder_completes_a_first_field():
    first, second = smooth_ddf(SHAPE, 1.0, seed=1), smooth_ddf(SHAPE, 1.5, seed=2)
    rest = remainder(compose(first, second, padding="border"), first, iterations=20)
    assert (rest - second)[INSIDE].abs().max() < 1e-3
    assert (remainder(first, torch.zeros_like(first)) - first).abs().max() == 0


def test_the_negative_velocity_gives_the_inverse():
    velocity = smooth_ddf(SHAPE, 2.0)
    assert compose(integrate(velocity), integrate(-velocity), "border")[INSIDE].abs().max() < 0.1


@pytest.mark.parametrize("align_corners", [True, False])
def test_resizing_rescales_the_vectors(align_corners):
    """A linear stretch stays the same stretch on a finer grid."""
    shape, size = (8, 10, 6), (16, 20, 12)
    axes = [torch.arange(n, dtype=torch.float64) for n in shape]
    ddf = 0.1 * torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
    fine = resize_ddf(ddf, size, align_corners)
    slopes = [fine[0, k].diff(dim=k)[3:-3, 3:-3, 3:-3].mean() for k in range(3)]
    torch.testing.assert_close(torch.stack(slopes), torch.full((3,), 0.1, dtype=torch.float64), atol=1e-9, rtol=0)


def linear_ddf(matrix, shape=(11, 11, 11)):
    """The field of a linear map about the grid's middle: trilinear interpolation makes no error in it."""
    axes = [torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in shape]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
    return torch.einsum("ab,nbxyz->naxyz", matrix - torch.eye(3, dtype=torch.float64), grid)


@pytest.mark.parametrize("seed", range(4))
def test_linear_fields_compose_and_invert_as_their_matrices(seed):
    generator = torch.Generator().manual_seed(seed)
    first, second = (
        torch.eye(3, dtype=torch.float64) + 0.05 * torch.randn(3, 3, dtype=torch.float64, generator=generator)
        for _ in range(2)
    )
    joined = compose(linear_ddf(first), linear_ddf(second), "border")
    torch.testing.assert_close(joined[..., 3:-3, 3:-3, 3:-3], linear_ddf(first @ second)[..., 3:-3, 3:-3, 3:-3])
    inverse = invert(linear_ddf(first), tolerance=1e-9)[0][..., 4:-4, 4:-4, 4:-4]
    torch.testing.assert_close(inverse, linear_ddf(first.inverse())[..., 4:-4, 4:-4, 4:-4], atol=1e-6, rtol=0)


def test_composition_is_associative():
    a, b, c = (smooth_ddf(SHAPE, 1.0, seed=seed) for seed in range(3))
    left = compose(compose(a, b, "border"), c, "border")
    right = compose(a, compose(b, c, "border"), "border")
    assert (left - right)[INSIDE].abs().max() < 0.02  # one interpolation of a field against another
    assert left[INSIDE].abs().max() > 0.5

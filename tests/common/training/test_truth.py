"""A known field follows its images through mirrors and deformations."""

import pytest
import torch
from torch import Tensor

from common.data.augment import affine_field, random_affine, random_deformation
from common.spatial import compose, warp
from common.training.truth import carried, mirrored

SHAPE = (24, 22, 20)


def matrix(seed: int) -> Tensor:
    """A random affine map (3, 4) of centred voxel coordinates, in float64."""
    return random_affine(torch.Generator().manual_seed(seed), 4.0, 0.05, 0.03, 1.5).double()


def deformation(seed: int, strength: float = 1.5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return random_deformation(SHAPE, strength, generator, (8.0, 16.0)).double()


def smooth_image() -> Tensor:
    axes = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in SHAPE], indexing="ij")).double()
    return (torch.sin(axes[0] / 3) + torch.cos(axes[1] / 4) * torch.sin(axes[2] / 3.5))[None, None]


def middle(ddf: Tensor, width: int = 6) -> Tensor:
    return ddf[:, :, width:-width, width:-width, width:-width]


def test_affine_maps_are_carried_as_matrices_are() -> None:
    """Interpolation is exact on affine fields: A(E x) = T(B x), so E is the product of A's inverse, T and B."""
    full = [torch.cat([matrix(seed), torch.eye(4, dtype=torch.float64)[3:]]) for seed in (1, 2, 3)]
    expected = affine_field((torch.linalg.inv(full[0]) @ full[1] @ full[2])[:3], SHAPE)
    a, t, b = (affine_field(one[:3], SHAPE) for one in full)
    assert (middle(carried(t, a, b)) - middle(expected)).abs().max() < 1e-6
    assert middle(expected).abs().max() > 1  # degrees and millimetres that were left to do are part of the answer


@pytest.mark.parametrize("seed", range(3))
def test_the_carried_field_goes_through_the_moving_side_s_warp_to_where_the_teacher_arrives(seed: int) -> None:
    t, a, b = (deformation(10 * seed + n) for n in range(3))
    e = carried(t, a, b)
    there = compose(a, e, padding="border")  # (id + a) o (id + e)
    wanted = compose(t, b, padding="border")  # (id + t) o (id + b)
    assert (middle(there) - middle(wanted)).abs().max() < 0.02
    assert middle(e - t).abs().max() > 0.5


def test_warped_images_meet_under_the_carried_field() -> None:
    moving, (t, a, b) = smooth_image(), (deformation(seed, 1.0) for seed in (4, 5, 6))
    fixed = warp(moving, t)
    seen_moving, seen_fixed = warp(moving, a), warp(fixed, b)
    error = (warp(seen_moving, carried(t, a, b)) - seen_fixed).abs()
    before = (warp(seen_moving, t) - seen_fixed).abs()
    assert middle(error).mean() < 0.12 * middle(before).mean()


def test_what_is_not_deformed_is_left_alone() -> None:
    t, b = deformation(1), deformation(2)
    assert carried(t, None, None) is t and mirrored(t, []) is t
    nothing = torch.zeros_like(t)
    assert torch.equal(carried(nothing, None, b), b)
    assert (middle(carried(nothing, b, b))).abs().max() < 1e-6


@pytest.mark.parametrize("axes", [[0], [1, 2], [0, 1, 2]])
def test_mirrored_images_meet_under_the_mirrored_field(axes: list[int]) -> None:
    moving, t = smooth_image(), deformation(3)
    spatial = [axis + 2 for axis in axes]
    torch.testing.assert_close(warp(moving.flip(spatial), mirrored(t, axes)), warp(moving, t).flip(spatial))
    assert torch.equal(mirrored(mirrored(t, axes), axes), t)

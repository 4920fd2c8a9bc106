"""Random transforms of training volumes as dense fields: deformations, affine maps, flips; one resampling each.

Everything is drawn from an explicit ``torch.Generator`` so that a sample is a pure function of its seed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from common.spatial import compose, integrate, warp


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    """Draw one number between ``low`` and ``high``."""
    return low + (high - low) * float(torch.rand((), generator=generator, device=generator.device))


def chance(generator: torch.Generator, probability: float) -> bool:
    """Return True with the given probability."""
    return uniform(generator, 0.0, 1.0) < probability


def smooth_noise(shape: Sequence[int], knots: Sequence[int], channels: int, generator: torch.Generator) -> Tensor:
    """Return unit-variance noise at ``knots`` control points, interpolated to (1, channels, *shape)."""
    coarse = torch.randn(1, channels, *knots, generator=generator, device=generator.device)
    return F.interpolate(coarse, size=list(shape), mode="trilinear", align_corners=True)


def random_velocity(
    shape: Sequence[int], strength: float, knot_spacing: Sequence[float], generator: torch.Generator
) -> Tensor:
    """Sum smooth random fields of several scales, as SynthMorph draws its deformations (Hoffmann et al. 2021).

    Args:
        shape: (X, Y, Z).
        strength: standard deviation at the control points, in voxels, drawn between 0 and this for each scale.
        knot_spacing: distance of the control points in voxels, one number a scale.
        generator: source of randomness; its device holds the result.

    Returns:
        (1, 3, X, Y, Z), a velocity in voxels per unit time.
    """
    velocity = torch.zeros(1, 3, *shape, device=generator.device)
    for spacing in knot_spacing:
        knots = [max(2, round(n / spacing) + 1) for n in shape]
        velocity += uniform(generator, 0.0, strength) * smooth_noise(shape, knots, 3, generator)
    return velocity


def random_deformation(
    shape: Sequence[int],
    strength: float,
    generator: torch.Generator,
    knot_spacing: Sequence[float] = (8.0, 16.0, 32.0),
    steps: int = 5,
) -> Tensor:
    """Return a random diffeomorphic field (1, 3, X, Y, Z) in voxels: the exponential of ``random_velocity``."""
    return integrate(random_velocity(shape, strength, knot_spacing, generator), steps)


def affine_field(matrix: Tensor, shape: Sequence[int]) -> Tensor:
    """Turn a 3x4 map of centred voxel coordinates into a displacement field (1, 3, X, Y, Z).

    The field samples the source at ``centre + matrix[:, :3] (x - centre) + matrix[:, 3]``.
    """
    axes = [torch.arange(n, device=matrix.device, dtype=matrix.dtype) - (n - 1) / 2 for n in shape]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    change = matrix[:, :3] - torch.eye(3, device=matrix.device, dtype=matrix.dtype)
    moved = torch.einsum("ij,jxyz->ixyz", change, grid) + matrix[:, 3].view(3, 1, 1, 1)
    return moved[None]


def random_affine(
    generator: torch.Generator,
    degrees: float = 3.0,
    scale: float = 0.04,
    shear: float = 0.02,
    shift: float = 1.0,
) -> Tensor:
    """Draw a 3x4 matrix: rotation up to ``degrees`` an axis, scaling and shear around 1 and 0, ``shift`` in voxels."""
    angles = [uniform(generator, -degrees, degrees) * torch.pi / 180.0 for _ in range(3)]
    generators = torch.zeros(3, 3)
    for (i, j), angle in zip(((0, 1), (0, 2), (1, 2)), angles, strict=True):
        generators[i, j], generators[j, i] = -angle, angle
    rotation = torch.linalg.matrix_exp(generators)
    stretch = torch.diag(torch.tensor([1.0 + uniform(generator, -scale, scale) for _ in range(3)]))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        stretch[i, j] = uniform(generator, -shear, shear)
    translation = torch.tensor([[uniform(generator, -shift, shift)] for _ in range(3)])
    return torch.cat([rotation @ stretch, translation], dim=1).to(generator.device)


def random_field(
    shape: Sequence[int], generator: torch.Generator, strength: float = 1.0, affine: bool = True, shift: float = 1.0
) -> Tensor:
    """Compose a random affine map and a random diffeomorphism into one field (1, 3, X, Y, Z)."""
    elastic = random_deformation(shape, strength, generator)
    if not affine:
        return elastic
    return compose(affine_field(random_affine(generator, shift=shift), shape), elastic, padding="border")


def deform(images: Tensor, label: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
    """Warp images (C, X, Y, Z) trilinearly and an index label (X, Y, Z) by the nearest voxel with one field."""
    moved = warp(images[None].float(), field)[0]
    moved_label = warp(label[None, None].float(), field, mode="nearest")[0, 0]
    return moved, moved_label.to(label.dtype)

"""Jacobian determinants of a transformation and what is read off them.

A field ``u`` stands for ``x -> x + u(x)``; its Jacobian is ``I + du/dx`` in voxel units. The determinant does not
depend on the unit as long as the grid's axes keep their spacing: a world-space field gives the same numbers.
"""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor


def _differences(ddf: Tensor, axis: int) -> Tensor:
    """Central differences along a spatial axis, one-sided at its ends. (B, 3, X, Y, Z) -> the same shape."""
    dim = axis + 2
    size = ddf.shape[dim]
    if size == 1:
        return torch.zeros_like(ddf)
    return torch.gradient(ddf, dim=dim)[0]


def _determinant(columns: list[Tensor]) -> Tensor:
    """Determinant of the 3x3 matrices whose columns are given. Three times (B, 3, ...) -> (B, 1, ...)."""
    a, b, c = columns
    cross = torch.stack(
        [
            b[:, 1] * c[:, 2] - b[:, 2] * c[:, 1],
            b[:, 2] * c[:, 0] - b[:, 0] * c[:, 2],
            b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0],
        ],
        dim=1,
    )
    return (a * cross).sum(dim=1, keepdim=True)


def _add_identity(gradient: Tensor, axis: int) -> Tensor:
    gradient = gradient.clone()
    gradient[:, axis] += 1
    return gradient


def jacobian_determinant(ddf: Tensor) -> Tensor:
    """Jacobian determinant by central differences (one-sided at the borders).

    Args:
        ddf: (B, 3, X, Y, Z) in voxels, channel k along array axis k.

    Returns:
        (B, 1, X, Y, Z): 1 for the identity, above 1 where volume grows, at most 0 where the map folds.
    """
    return _determinant([_add_identity(_differences(ddf, axis), axis) for axis in range(3)])


def fold_share(determinant: Tensor, mask: Tensor | None = None) -> Tensor:
    """Share of voxels with a non-positive determinant.

    Args:
        determinant: (B, 1, X, Y, Z) as ``jacobian_determinant`` gives it.
        mask: (B, 1, X, Y, Z), non-zero where voxels count; all of them without it.

    Returns:
        (B,) between 0 and 1; NaN where a mask is empty.
    """
    folded = (determinant <= 0).double().flatten(1)
    weight = torch.ones_like(folded) if mask is None else (mask != 0).double().flatten(1)
    return (folded * weight).sum(1) / weight.sum(1)


def sd_log_jacobian(determinant: Tensor, mask: Tensor | None = None, floor: float = 1e-9) -> Tensor:
    """Standard deviation of the logarithm of the determinant (SDlogJ).

    Args:
        determinant: (B, 1, X, Y, Z).
        mask: (B, 1, X, Y, Z), non-zero where voxels count.
        floor: determinants below it count as this value; a folded voxel thus adds a large deviation, never a NaN.

    Returns:
        (B,), population standard deviation.
    """
    logarithm = determinant.double().clamp_min(floor).log().flatten(1)
    weight = torch.ones_like(logarithm) if mask is None else (mask != 0).double().flatten(1)
    count = weight.sum(1)
    mean = (logarithm * weight).sum(1) / count
    return (((logarithm - mean[:, None]) ** 2 * weight).sum(1) / count).sqrt()


def finite_difference_determinants(ddf: Tensor) -> Tensor:
    """The ten finite-difference determinants that decide digital diffeomorphism (Liu et al., IJCV 2024, section 3).

    Eight come from forward or backward differences along each axis, the volumes of the corner tetrahedra around a
    voxel, times 6; two more (J*1, J*2) belong to the tetrahedra between alternating corners of a cell of eight voxels,
    times 3. All are 1 for the identity. The field is a digital diffeomorphism where all ten are positive.

    Args:
        ddf: (B, 3, X, Y, Z) in voxels.

    Returns:
        (B, 10, X-2, Y-2, Z-2), for voxels with all neighbours. Order: signs (+,+,+), (+,+,-), ... (-,-,-), J*1, J*2.

    Raises:
        ValueError: an axis has fewer than three voxels.
    """
    if min(ddf.shape[2:]) < 3:
        raise ValueError(f"the ten determinants need at least 3 voxels an axis, got {tuple(ddf.shape[2:])}")
    position = ddf + _index_grid(ddf)
    centre = _shifted(position, (0, 0, 0))
    step = {(axis, sign): _shifted(position, _unit(axis, sign)) for axis in range(3) for sign in (1, -1)}
    determinants = [
        _determinant([(step[axis, sign] - centre) * sign for axis, sign in enumerate(signs)])
        for signs in product((1, -1), repeat=3)
    ]
    # The two inner tetrahedra of the cell spanned by +1 along every axis, each seen from one of its own corners.
    corner = {offset: _shifted(position, offset) for offset in product((0, 1), repeat=3)}
    for origin, ends in (
        ((0, 0, 0), ((1, 1, 0), (1, 0, 1), (0, 1, 1))),
        ((1, 1, 1), ((0, 0, 1), (0, 1, 0), (1, 0, 0))),
    ):
        columns = [corner[end] - corner[origin] for end in ends]
        reference = torch.tensor([[e - o for e, o in zip(end, origin, strict=True)] for end in ends]).double()
        determinants.append(_determinant(columns) / float(torch.det(reference)))
    return torch.cat(determinants, dim=1)


def non_diffeomorphic_volume(ddf: Tensor, mask: Tensor | None = None) -> Tensor:
    """Volume, in voxels, by which the field's tetrahedra are turned inside out (NDV; Liu et al., IJCV 2024, eq. 12).

    Every cell of eight voxels is cut into five tetrahedra in two ways; the negative volumes of both are added up and
    halved.

    Args:
        ddf: (B, 3, X, Y, Z) in voxels.
        mask: (B, 1, X, Y, Z), non-zero where voxels count. The outermost layer of voxels never counts.

    Returns:
        (B,) in voxels.
    """
    determinants = finite_difference_determinants(ddf.double())
    # A corner tetrahedron is a sixth of the cell, an inner one a third; the two cuts are averaged.
    weight = torch.tensor([1 / 12] * 8 + [1 / 6] * 2, dtype=torch.float64, device=ddf.device).view(1, 10, 1, 1, 1)
    inverted = ((-determinants).clamp_min(0) * weight).sum(dim=1, keepdim=True)
    if mask is not None:
        inverted = inverted * (mask[:, :, 1:-1, 1:-1, 1:-1] != 0)
    return inverted.flatten(1).sum(1)


def _index_grid(ddf: Tensor) -> Tensor:
    """Voxel coordinates of the field's grid, (1, 3, X, Y, Z)."""
    axes = [torch.arange(n, dtype=ddf.dtype, device=ddf.device) for n in ddf.shape[2:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def _unit(axis: int, sign: int) -> list[int]:
    offset = [0, 0, 0]
    offset[axis] = sign
    return offset


def _shifted(volume: Tensor, offset: Sequence[int]) -> Tensor:
    """The interior of a volume moved by an offset of -1, 0 or 1 an axis: (B, C, X, Y, Z) -> (B, C, X-2, Y-2, Z-2)."""
    slices = [slice(1 + o, n - 1 + o) for o, n in zip(offset, volume.shape[2:], strict=True)]
    return volume[:, :, slices[0], slices[1], slices[2]]

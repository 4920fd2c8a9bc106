"""Recursive registration: a network looks again, at the moving image as its own field has warped it, perhaps closer.

Source: Zhao et al., "Recursive Cascaded Networks for Unsupervised Medical Image Registration", ICCV 2019, with shared
weights; VMambaMorph's recursive variant (Wang et al. 2024) is the same with two passes. Going from a coarse grid to a
finer one with the same weights works because convolutions and scans are not bound to a resolution.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from common.errors import InputError
from common.spatial import compose, resize_ddf, warp

Output = TypeVar("Output", Tensor, dict[str, Tensor])


def further_pass(network: Callable[[Tensor], Output], pair: Tensor, ddf: Tensor) -> Output:
    """Run a network on ``(warp(moving, ddf), fixed)`` and join its field e to the one so far: u <- e + warp(u, e).

    Args:
        network: maps a pair to a field, or to named fields with ``ddf`` among them.
        pair: (B, 2, X, Y, Z), moving and fixed.
        ddf: (B, 3, X, Y, Z) in voxels, the field so far.

    Returns:
        What ``network`` returns; the field in it is the joined one, (B, 3, X, Y, Z). Other named fields, such as the
        velocity, are those of this pass alone.
    """
    output = network(torch.cat([warp(pair[:, :1], ddf.to(pair.dtype)), pair[:, 1:]], dim=1))
    if isinstance(output, Tensor):
        return compose(ddf, output)
    return {**output, "ddf": compose(ddf, output["ddf"])}


def passes_of(value: int | Sequence[int]) -> list[int]:
    """Check the passes that a configuration or a command line names: one factor a pass, see ``coarse_to_fine``.

    Raises:
        InputError: not whole numbers of at least 1, or none.
    """
    factors = [value] if isinstance(value, int) else list(value)
    if not factors or any(isinstance(f, bool) or not isinstance(f, int) or f < 1 for f in factors):
        raise InputError(f"passes: expected a list of whole numbers of at least 1, such as [2, 1], got {value!r}")
    return factors


def coarse_to_fine(network: Callable[[Tensor], Tensor], pair: Tensor, passes: Sequence[int]) -> Tensor:
    """Register with one pass after the other, each on its own grid, from the field of the pass before.

    Args:
        network: maps a pair to a field on its grid.
        pair: (B, 2, X, Y, Z), moving and fixed; every side a multiple of what the network needs times the factors.
        passes: for each pass, how many voxels of ``pair`` make one of the grid that the network sees: ``[1]`` is the
            plain network, ``[2, 1]`` a pass at half resolution (block means) and one at full resolution.

    Returns:
        (B, 3, X, Y, Z) in voxels of ``pair``.

    Raises:
        InputError: a side that a factor does not divide.
    """
    if any(n % factor for n in pair.shape[2:] for factor in passes):
        raise InputError(f"passes {list(passes)}: expected sides that they divide, got {tuple(pair.shape[2:])}")
    ddf: Tensor | None = None
    for factor in passes:
        seen = F.avg_pool3d(pair, factor) if factor > 1 else pair
        ddf = network(seen) if ddf is None else further_pass(network, seen, _on_grid_of(ddf, seen))
    assert ddf is not None
    return _on_grid_of(ddf, pair)


def _on_grid_of(ddf: Tensor, pair: Tensor) -> Tensor:
    x, y, z = pair.shape[2:]
    return ddf if ddf.shape[2:] == pair.shape[2:] else resize_ddf(ddf, (x, y, z))

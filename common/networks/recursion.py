"""Recursive registration: a network looks again, at the moving image as its own field has warped it.

Source: Zhao et al., "Recursive Cascaded Networks for Unsupervised Medical Image Registration", ICCV 2019, with shared
weights; VMambaMorph's recursive variant (Wang et al. 2024) is the same with two passes.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from common.spatial import compose, warp

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

"""Displacement fields: warp, integrate, compose, invert, resize, and their Jacobians."""

from common.spatial.field import compose, integrate, remainder, resize_ddf
from common.spatial.inverse import invert
from common.spatial.jacobian import (
    finite_difference_determinants,
    fold_share,
    jacobian_determinant,
    non_diffeomorphic_volume,
    sd_log_jacobian,
)
from common.spatial.warp import normalised_grid, sample, warp

__all__ = [
    "compose",
    "finite_difference_determinants",
    "fold_share",
    "integrate",
    "invert",
    "jacobian_determinant",
    "non_diffeomorphic_volume",
    "normalised_grid",
    "remainder",
    "resize_ddf",
    "sample",
    "sd_log_jacobian",
    "warp",
]

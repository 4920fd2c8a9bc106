"""Where voxels are: affines, orientations, the network grid, and fields between grids and worlds."""

from common.geometry.affines import (
    check_affine,
    index_map,
    is_left_handed,
    shear_of,
    spacing_of,
    swap_ras_lps,
    transform_points,
)
from common.geometry.fields import carry_ddf, ddf_to_lps, displacement_mm, lengths, lps_to_ddf
from common.geometry.foreground import (
    background_value,
    bulk_range,
    corner_points,
    differs_from,
    extreme_points,
    foreground_mask,
    looks_like_ct,
)
from common.geometry.grids import Grid, corner_distance, network_grid
from common.geometry.orientations import ORIENTATIONS, orientation_of, ras_directions, reorient
from common.geometry.sampling import resample, smooth_for

__all__ = [
    "ORIENTATIONS",
    "Grid",
    "background_value",
    "bulk_range",
    "carry_ddf",
    "check_affine",
    "corner_distance",
    "corner_points",
    "ddf_to_lps",
    "differs_from",
    "displacement_mm",
    "extreme_points",
    "foreground_mask",
    "index_map",
    "is_left_handed",
    "lengths",
    "looks_like_ct",
    "lps_to_ddf",
    "network_grid",
    "orientation_of",
    "ras_directions",
    "reorient",
    "resample",
    "shear_of",
    "smooth_for",
    "spacing_of",
    "swap_ras_lps",
    "transform_points",
]

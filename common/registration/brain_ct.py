"""Brain extraction from CT heads: soft tissue that bone encloses, by thresholds and morphology.

After the idea of Muschelli et al. (NeuroImage 2015: soft tissue by its Hounsfield units, smoothed, then the brain's
surface): here the skull itself says what lies inside.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_closing,
    binary_dilation,
    binary_fill_holes,
    binary_opening,
    distance_transform_edt,
    gaussian_filter,
    label,
)

from common.geometry import Grid, orientation_of, reorient, spacing_of
from common.geometry.affines import Array
from common.geometry.pulling import pull
from common.geometry.transforms import Affine, to_field

#: Hounsfield units of brain, fluid and blood after smoothing; of bone; of air.
SOFT, BONE, AIR = (-5.0, 100.0), 200.0, -300.0
#: Millimetres: of the grid that is worked on, of the smoothing, of the necks that are cut (foramina, fissures).
GRID, SMOOTH, NECK = 2.0, 1.0, 5.0


def extract_from_ct(volume: NDArray, affine: Array) -> NDArray[np.bool_]:
    """Find the brain in a CT of a head.

    Args:
        volume: (X, Y, Z) in Hounsfield units.
        affine: (4, 4), RAS.

    Returns:
        (X, Y, Z), empty where nothing is enclosed.
    """
    turned, turned_affine = reorient(volume, affine, "RAS")
    grid = _isotropic(turned.shape, turned_affine)
    coarse = pull(turned, turned_affine, to_field(Affine(np.eye(4)), grid), "linear", float(turned.min()))
    inside = _inside_the_skull(coarse)
    fine = pull(inside.astype(np.float32), grid.affine, to_field(Affine(np.eye(4)), _grid(turned.shape, turned_affine)))
    mask = (fine > 0.5) & (turned < BONE)
    return np.asarray(reorient(mask, turned_affine, orientation_of(affine))[0])


def _grid(shape: tuple[int, ...], affine: Array) -> Grid:
    return Grid((shape[0], shape[1], shape[2]), affine)


def _isotropic(shape: tuple[int, ...], affine: Array) -> Grid:
    """A grid of ``GRID`` millimetres with the axes of another one, over its extent."""
    steps = GRID / spacing_of(affine)
    return _grid(tuple(np.ceil(np.array(shape) / steps).astype(int)), affine @ np.diag([*steps, 1.0]))


def _inside_the_skull(volume: NDArray) -> NDArray[np.bool_]:
    """The largest piece of soft tissue that bone encloses. (X, Y, Z) at ``GRID`` millimetres in RAS order."""
    smooth = gaussian_filter(volume, SMOOTH / GRID)
    bone = binary_closing(np.pad(volume > BONE, 3), iterations=2)[3:-3, 3:-3, 3:-3]
    enclosed = _enclosed(bone, volume < AIR) & (volume < BONE)
    soft = (smooth > SOFT[0]) & (smooth < SOFT[1]) & enclosed
    pieces, count = label(_eroded(soft, NECK))
    if not count:
        return np.zeros(volume.shape, dtype=bool)
    core = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
    grown = (distance_transform_edt(~core) * GRID <= NECK + GRID / 2) & soft
    # Beside bone everything is blurred to more than soft tissue: one voxel more, as far as there is none.
    return _smoothed(binary_dilation(grown) & enclosed)


def _eroded(mask: NDArray[np.bool_], millimetres: float) -> NDArray[np.bool_]:
    return distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1, 1:-1] * GRID > millimetres


def _smoothed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Sulci closed, holes filled, loose bits cut off."""
    closed = binary_fill_holes(binary_closing(np.pad(mask, 4, mode="edge"), iterations=3))
    return binary_opening(closed)[4:-4, 4:-4, 4:-4]


def _enclosed(bone: NDArray[np.bool_], air: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where there is bone to the left, right, front, back, and above, or the image ends above before air begins.

    Nothing is asked for below: the skull is open there, and the neck may be cut off.
    """
    sides = [_seen(bone, axis) & np.flip(_seen(np.flip(bone, axis), axis), axis) for axis in (0, 1)]
    above = [np.flip(_seen(np.flip(mask, 2), 2), 2) for mask in (bone, air)]
    return sides[0] & sides[1] & (above[0] | ~above[1]) & ~bone


def _seen(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Where a mask has been met on the way from an axis' beginning."""
    return np.logical_or.accumulate(mask, axis)

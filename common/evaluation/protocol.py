"""The protocol that stands beside every figure: what each name means, on which labels, with which versions."""

import platform
from collections.abc import Mapping
from typing import Any

from common.machine import processor, versions

DEFINITIONS = {
    "dice_nearest": "Dice, moving labels warped by nearest neighbour; absent in both maps: not scored, in one: 0",
    "dice_linear": "Dice, one-hot moving labels warped trilinearly, then arg-max",
    "hd95_mm": "larger of the two directed 95th percentiles of surface distances (MONAI's definition), millimetres",
    "hd95_voxel": "the same in voxels of the fixed image",
    "hd95_pooled_mm": "95th percentile of both directed distance sets together (MambaMorph's definition), millimetres",
    "hd95_pooled_voxel": "the same in voxels of the fixed image",
    "assd_mm": "mean of both directed surface distance sets together, millimetres",
    "topology_change": "|d b0| + |d b1| + |d b2| (Betti numbers) of a structure before and after a linear warp cut "
    "at 0.5",
    "topology_changed_percent": "share of structures whose topology changed, percent",
    "folds_percent": "share of voxels of the whole volume with central-difference |J| <= 0 (one-sided at borders), %",
    "folds_mask_percent": "the same over the fixed labels above 0, percent",
    "folded_voxels": "number of voxels of the whole volume with |J| <= 0",
    "jacobian_minimum": "smallest central-difference |J| of the whole volume",
    "sd_log_jacobian": "standard deviation of log |J| over the fixed labels above 0, |J| clipped at 1e-9",
    "sd_log_jacobian_learn2reg": "Learn2Reg: SD of log(clip(|J| + 3, 1e-9, 1e9)), 2 border voxels cropped",
    "non_diffeomorphic_volume_percent": "volume of inverted tetrahedra (Liu et al. 2024), percent of the inner volume",
    "landmark_error_mm": "mean distance of carried fixed landmarks to their moving partners, millimetres",
    "landmark_error_median_mm": "median of the same",
    "landmark_error_initial_mm": "mean of the same before registration",
    "seconds": "wall clock of the registration; for networks from the images in memory to the field on the fixed grid, "
    "for other tools the whole call with their own file access",
    "cpu_seconds": "user and system time of the whole process of one pair, start and file reading included",
    "peak_megabytes": "largest resident memory of the process of one pair (10^6 bytes), Python and libraries included",
}

_PACKAGES = ("python", "torch", "monai", "numpy", "scipy", "nibabel", "registration-bundles")


def protocol(structures: Mapping[int, str] | None = None, **further: Any) -> dict[str, Any]:
    """Everything a reader needs to compare the figures with others.

    Args:
        structures: name by label index of the structures that means are taken over.
        further: entries of the caller, such as the datalist, the spacing, the number of threads.

    Returns:
        JSON-able dictionary.
    """
    return {
        "surface": "voxels with a 6-neighbour outside of the structure; distances between voxel centres; faces of the "
        "volume count as outside",
        "mean": "over the structures of a pair first, then over pairs; SD over pairs with n - 1",
        "structures": {str(k): name for k, name in (structures or {}).items()},
        **further,
        "definitions": DEFINITIONS,
        "versions": versions(_PACKAGES),
        "machine": f"{processor()}, {platform.system()}",
    }

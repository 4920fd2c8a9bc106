"""What every printed score means: one table, so that no two scores share a name and no score has two.

``metrics.json`` and the tables of an evaluation carry these lines beside their figures. Figures that were recorded
under older names keep the definitions that stand beside them.
"""

from collections.abc import Mapping
from typing import NamedTuple

WHOLE = "all voxels of the fixed grid"
FOREGROUND = "fixed foreground: voxels over 1 % of the intensity range away from the background"
LABELS = "voxels of fixed labels above 0; all voxels where there are no labels"
STRUCTURES = "each structure; a pair's mean over its structures"
INNER = "all voxels but the outermost"


class Score(NamedTuple):
    """Meaning of one figure.

    Attributes:
        text: the definition.
        unit: of the number.
        region: what it is taken over, empty where that is no question.
        better: ``higher`` or ``lower``, empty where neither is.
    """

    text: str
    unit: str
    region: str = ""
    better: str = ""


#: Scores of a run and of an evaluation alike.
SHARED = {
    "folds_percent": Score("share of |J| <= 0, central differences, one-sided at the borders", "%", WHOLE, "lower"),
    "jacobian_minimum": Score("smallest |J|, central differences, one-sided at the borders", "1", WHOLE),
    "peak_memory_mb": Score(
        "largest resident memory of the process so far, Python and libraries included; the benchmark has a process for "
        "each pair", "10^6 bytes", better="lower",
    ),
}  # fmt: skip
#: Scores that ``metrics.json`` has besides: of one pair, most of them without labels.
RUN = {
    "ncc": Score("normalised cross-correlation with the fixed image, -1 to 1", "1", FOREGROUND, "higher"),
    "mutual_information": Score("mutual information of a 32x32 histogram of intensities", "nats", FOREGROUND, "higher"),
    "folds_foreground_percent": Score("share of |J| <= 0 as in folds_percent", "%", FOREGROUND, "lower"),
    "jacobian_maximum": Score("largest |J|, central differences, one-sided at the borders", "1", WHOLE),
    "sd_log_jacobian_foreground": Score(
        "standard deviation of log |J|, |J| floored at 1e-9", "1", FOREGROUND, "lower"
    ),
    "displacement_mm_mean": Score("mean length of the total displacement", "mm", FOREGROUND),
    "displacement_mm_max": Score("largest length of the total displacement", "mm", FOREGROUND),
    "tre_mm": Score(
        "distance between the field and the true field at every voxel; before: no field", "mm", FOREGROUND, "lower"
    ),
    "points_mm": Score(
        "distance between the fixed points, brought to the moving image, and the moving points; before: no transform",
        "mm", better="lower",
    ),
    "dice": Score(
        "dice_nearest of every label, and its mean over the labels that are in either map; before: no field",
        "1", better="higher",
    ),
    "field_error": Score(
        "distance between the field as transform.h5 stores it and the whole one; mean and largest", "mm", FOREGROUND,
        "lower",
    ),
    "inverse_residual": Score(
        "distance between a voxel of the fixed grid and where transform.h5 and inverse.h5 bring it one after the "
        "other, of those that stay inside; mean and largest", "mm", better="lower",
    ),
    "stage_seconds": Score(
        "wall clock of each stage; network: everything between the pre- and the postprocessing", "s", better="lower"
    ),
}  # fmt: skip
#: Scores that an evaluation has besides: of labels, landmarks and costs.
EVALUATION = {
    "dice_nearest": Score(
        "Dice, moving labels warped by nearest neighbour; absent in both maps: not scored, in one: 0", "1", STRUCTURES,
        "higher",
    ),
    "dice_linear": Score(
        "Dice, one-hot moving labels warped trilinearly, then arg-max", "1", STRUCTURES, "higher"
    ),
    "hd95_mm": Score(
        "larger of the two directed 95th percentiles of surface distances (MONAI's definition)", "mm", STRUCTURES,
        "lower",
    ),
    "hd95_voxel": Score("hd95_mm in voxels of the fixed image", "voxels", STRUCTURES, "lower"),
    "hd95_pooled_mm": Score(
        "95th percentile of both directed distance sets together (MambaMorph's definition)", "mm", STRUCTURES, "lower"
    ),
    "hd95_pooled_voxel": Score("hd95_pooled_mm in voxels of the fixed image", "voxels", STRUCTURES, "lower"),
    "assd_mm": Score("mean of both directed surface distance sets together", "mm", STRUCTURES, "lower"),
    "topology_change": Score(
        "|d b0| + |d b1| + |d b2| (Betti numbers) before and after a linear warp cut at 0.5", "1", STRUCTURES, "lower"
    ),
    "topology_changed_percent": Score("share of structures whose topology changed", "%", better="lower"),
    "folds_mask_percent": Score("share of |J| <= 0 as in folds_percent", "%", LABELS, "lower"),
    "folded_voxels": Score("number of voxels with |J| <= 0", "voxels", WHOLE, "lower"),
    "sd_log_jacobian": Score("standard deviation of log |J|, |J| floored at 1e-9", "1", LABELS, "lower"),
    "sd_log_jacobian_learn2reg": Score(
        "Learn2Reg: SD of log(clip(|J| + 3, 1e-9, 1e9)), 2 border voxels cropped", "1", WHOLE, "lower"
    ),
    "non_diffeomorphic_volume_percent": Score(
        "volume of inverted tetrahedra (Liu et al. 2024), share of the region's volume", "%", INNER, "lower"
    ),
    "landmark_error_mm": Score(
        "mean distance of carried fixed landmarks to their moving partners", "mm", better="lower"
    ),
    "landmark_error_median_mm": Score("median of the distances of landmark_error_mm", "mm", better="lower"),
    "landmark_error_initial_mm": Score("landmark_error_mm before registration", "mm"),
    "seconds": Score(
        "wall clock of the registration; for networks from the images in memory to the field on the fixed grid, for "
        "other tools the whole call with their own file access", "s", better="lower",
    ),
    "network_seconds": Score(
        "part of seconds between the pre- and the postprocessing of a network", "s", better="lower"
    ),
    "call_seconds": Score("wall clock of the method's whole call, file access included", "s", better="lower"),
    "cpu_seconds": Score(
        "user and system time of the whole process of one pair, start and file reading included", "s", better="lower"
    ),
}  # fmt: skip


def definitions(scores: Mapping[str, Score]) -> dict[str, str]:
    """One line for each score.

    >>> definitions({"hd95_voxel": EVALUATION["hd95_voxel"]})["hd95_voxel"]
    "hd95_mm in voxels of the fixed image (voxels; each structure; a pair's mean over its structures; lower is better)"
    """
    return {name: _line(score) for name, score in scores.items()}


def _line(score: Score) -> str:
    details = (score.unit if score.unit != "1" else "", score.region, score.better and f"{score.better} is better")
    return f"{score.text} ({'; '.join(detail for detail in details if detail)})"

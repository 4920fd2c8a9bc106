"""Registration metrics that MONAI lacks or computes too slowly for 31 structures at full resolution.

Arrays are NumPy: label maps (X, Y, Z) of integers, fields (3, X, Y, Z) in voxels on the fixed grid.
"""

from common.metrics.distance import surface_distances
from common.metrics.labels import sampling_positions, warp_labels_linear, warp_labels_nearest
from common.metrics.landmarks import landmark_errors
from common.metrics.overlap import dice_per_structure, mean_ignoring_nan
from common.metrics.regularity import field_regularity, sd_log_jacobian_learn2reg
from common.metrics.topology import betti_numbers, euler_number, topology_change

__all__ = [
    "betti_numbers",
    "dice_per_structure",
    "euler_number",
    "field_regularity",
    "landmark_errors",
    "mean_ignoring_nan",
    "sampling_positions",
    "sd_log_jacobian_learn2reg",
    "surface_distances",
    "topology_change",
    "warp_labels_linear",
    "warp_labels_nearest",
]

"""What ``metrics.json`` says about one registration, from tensors on the fixed image's grid."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.geometry.sampling import row_ranges
from common.metrics import dice_per_structure, mean_ignoring_nan
from common.metrics.definitions import FOREGROUND, RUN, SHARED, definitions
from common.spatial import fold_share, jacobian_determinant, sd_log_jacobian

BINS = 32
#: Written beside the figures.
PROTOCOL = {"region": FOREGROUND, **definitions(SHARED | RUN)}


def similarity(fixed: Tensor, other: Tensor, mask: NDArray[np.bool_]) -> dict[str, float]:
    """Normalised cross-correlation and mutual information of two volumes (X, Y, Z) over a mask.

    Returns:
        ``ncc`` and ``mutual_information``; an image that is constant over the mask gives 0 for both.
    """
    a, b = fixed.numpy()[mask], other.numpy()[mask]
    spread = float(a.std(dtype=np.float64) * b.std(dtype=np.float64))
    if spread == 0:
        return {"ncc": 0.0, "mutual_information": 0.0}
    covariance = float(np.mean((a - a.mean(dtype=np.float64)) * (b - b.mean(dtype=np.float64)), dtype=np.float64))
    return {"ncc": covariance / spread, "mutual_information": _mutual_information(_bins(a), _bins(b))}


def _bins(values: NDArray) -> NDArray[np.int64]:
    low, high = float(values.min()), float(values.max())
    return np.minimum((values - low) * (BINS / (high - low)), BINS - 1).astype(np.int64)


def _mutual_information(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    joint = np.bincount(a * BINS + b, minlength=BINS * BINS).reshape(BINS, BINS) / len(a)
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    some = joint > 0
    return float((joint[some] * np.log(joint[some] / product[some])).sum())


def jacobian_map(ddf: Tensor) -> Tensor:
    """Jacobian determinant a few rows at a time: the derivatives of a whole 256^3 field would take 800 MB.

    Args:
        ddf: (3, X, Y, Z) in voxels.

    Returns:
        (X, Y, Z), equal to ``jacobian_determinant`` of the whole.
    """
    size = ddf.shape[1]
    out = torch.empty(ddf.shape[1:])
    for rows in row_ranges((size, ddf.shape[2], ddf.shape[3])):
        # Two rows of halo: with only one, the row next to a cut would be taken for a border.
        start, stop = max(rows.start - 2, 0), min(rows.stop + 2, size)
        part = jacobian_determinant(ddf[None, :, start:stop])[0, 0]
        out[rows] = part[rows.start - start : rows.stop - start]
    return out


def field_figures(jacobian: Tensor, length: Tensor, mask: NDArray[np.bool_]) -> dict[str, float]:
    """Folds, SDlogJ and displacement of one field.

    Args:
        jacobian: (X, Y, Z) determinants.
        length: (X, Y, Z) displacement in millimetres.
        mask: (X, Y, Z) foreground.
    """
    region = torch.from_numpy(mask)
    inside = jacobian[region].view(1, 1, -1, 1, 1)
    return {
        "folds_percent": 100 * float((jacobian <= 0).double().mean()),
        "folds_foreground_percent": 100 * float(fold_share(inside)),
        "jacobian_minimum": float(jacobian.min()),
        "jacobian_maximum": float(jacobian.max()),
        "sd_log_jacobian_foreground": float(sd_log_jacobian(inside)),
        "displacement_mm_mean": float(length[region].double().mean()),
        "displacement_mm_max": float(length[region].max()),
    }


def error_figures(length: Tensor, mask: NDArray[np.bool_]) -> dict[str, float]:
    """Mean, median, 95th percentile and maximum of distances (X, Y, Z) over a region."""
    values = length.numpy()[mask].astype(np.float64)
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
        "max": float(values.max()),
    }


def dice_figures(fixed_label: Tensor, label: Tensor) -> dict[str, object]:
    """Dice of every label above 0 in either map (X, Y, Z), and their mean under ``mean``."""
    a, b = (np.rint(volume.numpy()).astype(np.int64) for volume in (fixed_label, label))
    names = [int(k) for k in np.union1d(np.unique(a), np.unique(b)) if k > 0]
    scores = dice_per_structure(np.maximum(a, 0), np.maximum(b, 0), names)
    return {"mean": mean_ignoring_nan(list(scores.values())), "per_label": {str(k): v for k, v in scores.items()}}

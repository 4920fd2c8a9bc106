"""Score one registered pair: every printed figure comes from here, for networks and classical tools alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import InputError
from common.geometry.affines import index_map, spacing_of
from common.metrics import (
    dice_per_structure,
    field_regularity,
    landmark_errors,
    mean_ignoring_nan,
    sampling_positions,
    surface_distances,
    topology_change,
    warp_labels_linear,
    warp_labels_nearest,
)

Record = dict[str, Any]


def evaluate_pair(
    ddf: np.ndarray,
    fixed_affine: np.ndarray,
    fixed_label: np.ndarray | None = None,
    moving_label: np.ndarray | None = None,
    moving_affine: np.ndarray | None = None,
    structures: Sequence[int] | None = None,
    landmarks: tuple[np.ndarray, np.ndarray] | None = None,
) -> Record:
    """Every score of one displacement field.

    Args:
        ddf: (3, X, Y, Z), total displacement on the fixed image's own grid, in its voxels.
        fixed_affine: (4, 4), voxel to RAS millimetres.
        fixed_label: (X, Y, Z) integers; with it comes ``moving_label``.
        moving_label: (X', Y', Z') integers on the moving image's own grid.
        moving_affine: (4, 4) of the moving image; the fixed image's without it.
        structures: label indices to score; all above 0 in either map without it.
        landmarks: fixed and moving points, (N, 3) voxel indices each.

    Returns:
        ``{"scores": {name: number}, "structures": {label: {name: number}}}``. ``common.evaluation.protocol`` says what
        every name means. Structures are present with labels only.

    Raises:
        InputError: shapes that do not belong together, or only one label map.
    """
    if (fixed_label is None) != (moving_label is None):
        raise InputError("labels are needed for both images of a pair or for neither, got one label map")
    if fixed_label is not None and fixed_label.shape != ddf.shape[1:]:
        raise InputError(f"the fixed labels' shape {fixed_label.shape} is not the field's {ddf.shape[1:]}")
    moving_affine = fixed_affine if moving_affine is None else moving_affine
    record: Record = {"scores": field_regularity(ddf, fixed_label), "structures": {}}
    if fixed_label is not None and moving_label is not None:
        fixed_label, moving_label = as_labels(fixed_label, "fixed"), as_labels(moving_label, "moving")
        if structures is None:
            structures = sorted((set(np.unique(fixed_label)) | set(np.unique(moving_label))) - {0})
        positions = sampling_positions(ddf, index_map(fixed_affine, moving_affine))
        _score_labels(
            record, fixed_label, moving_label, positions, spacing_of(fixed_affine), [int(k) for k in structures]
        )
    if landmarks is not None:
        _score_landmarks(record, ddf, landmarks, fixed_affine, moving_affine)
    return record


def as_labels(volume: np.ndarray, role: str) -> np.ndarray:
    """A label map in a small integer type, whatever type its file had.

    Raises:
        InputError: values that are not whole numbers from 0 to 65535.
    """
    if volume.dtype == np.uint8 or volume.dtype == np.uint16:
        return volume
    whole = np.rint(volume)
    if not np.array_equal(whole, volume) or whole.min() < 0 or whole.max() > 65535:
        raise InputError(
            f"the {role} label map must hold whole numbers from 0 to 65535, "
            f"got values from {volume.min()} to {volume.max()}"
        )
    return whole.astype(np.uint16)


def _score_labels(
    record: Record,
    fixed: np.ndarray,
    moving: np.ndarray,
    positions: np.ndarray,
    spacing: np.ndarray,
    structures: list[int],
) -> None:
    """Add overlap, distances and topology, by structure and averaged."""
    nearest = warp_labels_nearest(moving, positions)
    linear, value = warp_labels_linear(moving, positions)
    millimetres = surface_distances(fixed, nearest, structures, spacing)
    if np.ptp(spacing) < 1e-4:
        voxels = {k: {n: d / float(spacing[0]) for n, d in row.items()} for k, row in millimetres.items()}
    else:
        voxels = surface_distances(fixed, nearest, structures, (1.0, 1.0, 1.0))
    dice_nearest = dice_per_structure(fixed, nearest, structures)
    dice_linear = dice_per_structure(fixed, linear, structures)
    change = topology_change(moving, np.where(value > 0.5, linear, 0).astype(linear.dtype), structures)
    for k in structures:
        record["structures"][k] = {
            "dice_nearest": dice_nearest[k],
            "dice_linear": dice_linear[k],
            "hd95_mm": millimetres[k]["hd95"],
            "hd95_voxel": voxels[k]["hd95"],
            "hd95_pooled_mm": millimetres[k]["hd95_pooled"],
            "hd95_pooled_voxel": voxels[k]["hd95_pooled"],
            "assd_mm": millimetres[k]["assd"],
            "topology_change": change.get(k, float("nan")),
        }
    rows = list(record["structures"].values())
    for name in rows[0] if rows else ():
        record["scores"][name] = mean_ignoring_nan([row[name] for row in rows])
    if change:
        record["scores"]["topology_changed_percent"] = 100 * float(np.mean([c > 0 for c in change.values()]))


def _score_landmarks(
    record: Record,
    ddf: np.ndarray,
    landmarks: tuple[np.ndarray, np.ndarray],
    fixed_affine: np.ndarray,
    moving_affine: np.ndarray,
) -> None:
    """Add the landmark errors after and before registration."""
    error = landmark_errors(ddf, *landmarks, fixed_affine, moving_affine)
    start = landmark_errors(np.zeros_like(ddf), *landmarks, fixed_affine, moving_affine)
    record["scores"]["landmark_error_mm"] = float(error.mean())
    record["scores"]["landmark_error_median_mm"] = float(np.median(error))
    record["scores"]["landmark_error_initial_mm"] = float(start.mean())


def score_names(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of all scores that any of the records has, in their order of appearance."""
    return list(dict.fromkeys(name for record in records for name in record["scores"]))

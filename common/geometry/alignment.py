"""What a linear map between two heads does, in words and figures: how far it moves, turns and stretches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.geometry.affines import Array, index_map, transform_points
from common.geometry.grids import Grid

#: What two heads may differ by. A scanner's scale is right to a few percent; people's heads differ by 25 %.
LARGEST_SCALE, LARGEST_STRETCH, LARGEST_ROTATION = 1.45, 1.35, 75.0
#: Share of the foreground of the image that shows less which has to lie within the other one.
SMALLEST_OVERLAP = 0.5


@dataclass(frozen=True)
class Pose:
    """A linear map taken apart: a rotation, three scales along some orthogonal axes, and what it does to a centre.

    Attributes:
        rotation_degrees: angle of the closest rotation.
        scales: (3,) singular values, largest first: above 1 the target is larger than the source.
        shift_mm: how far the centre moves.
    """

    rotation_degrees: float
    scales: tuple[float, float, float]
    shift_mm: float


def closest_rotation(matrix: ArrayLike) -> Array:
    """The rotation closest to the linear part of an affine (polar decomposition). (4, 4) or (3, 3) -> (3, 3).

    A mirroring matrix gives the closest rotation too, never a mirror.

    >>> closest_rotation(np.diag([2.0, 3.0, 4.0, 1.0])).diagonal().tolist()
    [1.0, 1.0, 1.0]
    """
    left, _, right = np.linalg.svd(np.asarray(matrix, dtype=np.float64)[:3, :3])
    return left @ np.diag([1.0, 1.0, float(np.sign(np.linalg.det(left @ right)))]) @ right


def pose_of(matrix: ArrayLike, centre: ArrayLike) -> Pose:
    """Take an affine apart. (4, 4) in millimetres, (3,) a point of its source.

    >>> pose_of([[0, -2, 0, 5], [2, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]], (0, 0, 0))
    Pose(rotation_degrees=90.0, scales=(2.0, 2.0, 2.0), shift_mm=5.0)
    """
    turn = closest_rotation(matrix)
    angle = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    scales = np.linalg.svd(np.asarray(matrix, dtype=np.float64)[:3, :3], compute_uv=False)
    moved = transform_points(matrix, np.reshape(centre, (1, 3)))[0] - np.asarray(centre, dtype=np.float64)
    shift = float(np.linalg.norm(moved))
    return Pose(float(round(angle, 6)), (float(scales[0]), float(scales[1]), float(scales[2])), shift)


def implausible(matrix: ArrayLike, overlap: float = 1.0) -> list[str]:
    """Why a map between two heads cannot be right, one sentence a reason; none where nothing speaks against it.

    Args:
        matrix: (4, 4) in millimetres.
        overlap: share of the foreground of the image that shows less that lies within the other one.
    """
    if np.linalg.det(np.asarray(matrix, dtype=np.float64)[:3, :3]) <= 0:
        return ["it mirrors the image"]
    pose, reasons = pose_of(matrix, (0.0, 0.0, 0.0)), []
    if pose.rotation_degrees > LARGEST_ROTATION:
        reasons.append(f"it turns by {pose.rotation_degrees:.0f} degrees, expected at most {LARGEST_ROTATION:.0f}")
    if pose.scales[0] > LARGEST_SCALE or pose.scales[2] < 1 / LARGEST_SCALE:
        reasons.append(
            f"it scales by {pose.scales[2]:.2f} to {pose.scales[0]:.2f}, "
            f"expected {1 / LARGEST_SCALE:.2f} to {LARGEST_SCALE:.2f}"
        )
    elif pose.scales[0] > LARGEST_STRETCH * pose.scales[2]:
        reasons.append(
            f"it stretches one axis {pose.scales[0] / pose.scales[2]:.2f} times as much as another, "
            f"expected at most {LARGEST_STRETCH:.2f}"
        )
    if overlap < SMALLEST_OVERLAP:
        reasons.append(f"only {100 * overlap:.0f} % of the smaller image lies within the other one")
    return reasons


def mean_distance(first: ArrayLike, second: ArrayLike, points: Array) -> float:
    """Mean distance between the places where two affines bring the same points. (4, 4), (4, 4), (N, 3) -> millimetres.

    >>> mean_distance(np.eye(4), [[1, 0, 0, 3], [0, 1, 0, 4], [0, 0, 1, 0], [0, 0, 0, 1]], np.zeros((2, 3)))
    5.0
    """
    apart = transform_points(first, points) - transform_points(second, points)
    return float(np.linalg.norm(apart, axis=1).mean())


def distance_from_rigid(matrix: ArrayLike, points: Array) -> float:
    """Mean distance between the places where an affine and the rigid map closest to it bring points.

    Args:
        matrix: (4, 4) in millimetres.
        points: (N, 3); both maps agree at their middle.

    >>> cube = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), axis=-1).reshape(-1, 3)
    >>> turned = [[0, -1, 0, 5], [1, 0, 0, 7], [0, 0, 1, 0], [0, 0, 0, 1]]
    >>> distance_from_rigid(turned, cube), round(distance_from_rigid(np.diag([1.1, 1, 1, 1]), cube), 3)
    (0.0, 0.1)
    """
    rigid, middle = np.eye(4), np.mean(points, axis=0, keepdims=True)
    rigid[:3, :3] = closest_rotation(matrix)
    rigid[:3, 3] = (transform_points(matrix, middle) - transform_points(rigid, middle))[0]
    return mean_distance(matrix, rigid, points)


def share_within(points: Array, matrix: ArrayLike, grid: Grid, region: NDArray[np.bool_]) -> float:
    """Share of points that an affine brings into a region of a grid. (N, 3), (4, 4), (X, Y, Z) mask -> 0 to 1."""
    indices = np.rint(transform_points(index_map(np.eye(4), grid.affine, matrix), points)).astype(np.int64)
    inside = ((indices >= 0) & (indices < np.array(grid.shape))).all(axis=1)
    i, j, k = indices[inside].T
    return float(region[i, j, k].sum() / max(len(points), 1))


def distinct(poses: Sequence[tuple[float, Array]], points: Array, keep: int, apart: float) -> list[int]:
    """Numbers of the best poses that differ from each other, best first.

    Args:
        poses: score (larger is better) and matrix (4, 4) of each.
        points: (N, 3) on which poses are compared (``mean_distance``).
        keep: most that are wanted.
        apart: millimetres between two that count as different.
    """
    chosen: list[int] = []
    for number in sorted(range(len(poses)), key=lambda n: -poses[n][0]):
        if all(mean_distance(poses[number][1], poses[other][1], points) > apart for other in chosen):
            chosen.append(number)
        if len(chosen) == keep:
            break
    return chosen

"""What is done to a pair's moving image so that no registration can be right, or so that none can notice: seeded."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from common.geometry import foreground_mask, transform_points
from common.geometry.affines import Array

Spoiled = tuple[NDArray[np.float32], Array]
Spoiler = Callable[[NDArray[np.float32], Array, np.random.Generator], Spoiled]


@dataclass(frozen=True)
class Case:
    """One way to spoil a pair.

    Attributes:
        spoil: voxels (X, Y, Z) in the order RAS and affine (4, 4) in, the same out.
        align: mode of the alignment.
        wanted: ``serious``, ``any`` flag, or ``none``: what a user would want to be told.
    """

    spoil: Spoiler
    align: str = "auto"
    wanted: str = "serious"


def noise(voxels: NDArray[np.float32], affine: Array, random: np.random.Generator) -> Spoiled:
    """Smooth noise in the shape of the brain."""
    shown = foreground_mask(voxels)
    values = gaussian_filter(random.normal(size=voxels.shape), 1.5)
    low, high = np.percentile(voxels[shown], (2, 98))
    values = low + (high - low) * (values - values.min()) / np.ptp(values)
    return np.where(shown, values, voxels.min()).astype(np.float32), affine


def shuffled(voxels: NDArray[np.float32], affine: Array, random: np.random.Generator) -> Spoiled:
    """The brain's voxels in another order."""
    shown, out = foreground_mask(voxels), voxels.copy()
    out[shown] = random.permutation(voxels[shown])
    return out, affine


def organ(voxels: NDArray[np.float32], affine: Array, random: np.random.Generator) -> Spoiled:
    """Another organ: a smooth ellipsoid of the brain's brightness with a few vessels through it."""
    index = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in voxels.shape), indexing="ij"))
    bend = index[0] + 0.4 * index[1] ** 2
    inside = bend**2 / 0.5 + index[1] ** 2 / 0.7 + index[2] ** 2 / 0.3 < 1
    bright = np.percentile(voxels[foreground_mask(voxels)], 60)
    values = bright * (1 + 0.05 * gaussian_filter(random.normal(size=voxels.shape), 4) * 20)
    for _ in range(8):
        start, way = random.uniform(-0.5, 0.5, 3), random.normal(size=3)
        away = index - start[:, None, None, None]
        along = np.tensordot(way / np.linalg.norm(way), away, 1)
        values[(away**2).sum(axis=0) - along**2 < 0.003] = 1.8 * bright
    return np.where(inside, values, voxels.min()).astype(np.float32), affine


def upside_down(voxels: NDArray[np.float32], affine: Array, random: np.random.Generator) -> Spoiled:
    """The header turned by 180 degrees about the axis from ear to ear."""
    return voxels, _turned(voxels, affine, (180, 0, 0), (0, 0, 0))


def far(voxels: NDArray[np.float32], affine: Array, random: np.random.Generator) -> Spoiled:
    """The header 40 degrees and 44 mm away, in any direction."""
    axis, way = (vector / np.linalg.norm(vector) for vector in random.normal(size=(2, 3)))
    return voxels, _turned(voxels, affine, 40 * axis, 44 * way)


def half(voxels: NDArray[np.float32], affine: Array, random: np.random.Generator) -> Spoiled:
    """The right hemisphere set to the background."""
    return _cut(voxels, affine, 0, False)


def without_front(voxels: NDArray[np.float32], affine: Array, random: np.random.Generator) -> Spoiled:
    """The front half set to the background."""
    return _cut(voxels, affine, 1, False)


def cropped(voxels: NDArray[np.float32], affine: Array, random: np.random.Generator) -> Spoiled:
    """A field of view that ends in the middle of the brain, from front to back."""
    return _cut(voxels, affine, 1, True)


def reversed_contrast(voxels: NDArray[np.float32], affine: Array, random: np.random.Generator) -> Spoiled:
    """Dark where it was bright, as T2 is to T1."""
    shown = foreground_mask(voxels)
    low, high = np.percentile(voxels[shown], (1, 99))
    return np.where(shown, np.clip(high - (voxels - low), low / 2, high), voxels.min()).astype(np.float32), affine


def mirrored(voxels: NDArray[np.float32], affine: Array, random: np.random.Generator) -> Spoiled:
    """Left and right swapped."""
    return np.ascontiguousarray(voxels[::-1]), affine


CASES: dict[str, Case] = {
    "noise": Case(noise),
    "shuffled": Case(shuffled),
    "another organ": Case(organ),
    "upside down": Case(upside_down),
    "40 degrees and 44 mm away, --align none": Case(far, "none"),
    "180 degrees away, --align none": Case(upside_down, "none"),
    "half set to zero, right": Case(half, wanted="any"),
    "half set to zero, front": Case(without_front, wanted="any"),
    "field of view ends in the brain": Case(cropped, wanted="any"),
    "contrast reversed": Case(reversed_contrast, wanted="none"),
    "mirrored left to right": Case(mirrored, wanted="any"),
}


def _turned(voxels: NDArray[np.float32], affine: Array, degrees: Array | tuple, shift: Array | tuple) -> Array:
    """The affine turned about the middle of the field of view by a rotation vector, then shifted by millimetres."""
    centre = transform_points(affine, (np.array(voxels.shape)[None] - 1) / 2)[0]
    world = np.eye(4)
    world[:3, :3] = Rotation.from_rotvec(degrees, degrees=True).as_matrix()
    world[:3, 3] = centre + shift - world[:3, :3] @ centre
    return np.asarray(world @ affine, dtype=np.float64)


def _cut(voxels: NDArray[np.float32], affine: Array, axis: int, crop: bool) -> Spoiled:
    """Leave the lower half along an axis, of the voxels or of the field of view."""
    shown = np.flatnonzero(foreground_mask(voxels).any(axis=tuple(n for n in range(3) if n != axis)))
    kept = tuple(slice(0, int(shown[0] + shown[-1]) // 2) if n == axis else slice(None) for n in range(3))
    if crop:
        return np.ascontiguousarray(voxels[kept]), affine
    out = np.full_like(voxels, voxels.min())
    out[kept] = voxels[kept]
    return out, affine

"""Misalignments that an alignment is tried on: what is done to a pair's moving image, seeded, and the pose it makes.

A disturbance turns an image into another one with another header. What it did to the world is the new header's affine
after the inverse of the old one; with the pose of the undisturbed pair that is the pose to be found. Sizes change about
the first voxel, as a header has them, which moves the middle besides.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from common.geometry import ORIENTATIONS, foreground_mask, orientation_of, reorient, spacing_of, transform_points
from common.geometry.affines import Array

#: Millimetres that slices are thick at least, and the share of the anatomy's height that is cut off.
THICK, TOP = 6.0, 0.25


@dataclass(frozen=True, eq=False)
class Picture:
    """An image and its header.

    Attributes:
        voxels: (X, Y, Z).
        affine: (4, 4), voxel indices to the world that the header claims, RAS millimetres.
        world: (4, 4), from the world of the undisturbed image to that of this one.
    """

    voxels: NDArray
    affine: Array
    world: Array

    @property
    def centre(self) -> Array:
        """Middle of the field of view in the world, (3,)."""
        return transform_points(self.affine, (np.array(self.voxels.shape)[None] - 1) / 2)[0]

    def placed(self, world: Array) -> "Picture":
        """The same voxels under a header that was moved by a map of the world (4, 4)."""
        return replace(self, affine=world @ self.affine, world=world @ self.world)


Disturbance = Callable[[Picture, np.random.Generator], Picture]


def turned(picture: Picture, random: np.random.Generator) -> Picture:
    """25 to 45 degrees about any axis, 20 to 60 mm in any direction."""
    return posed(picture, random, (25, 45), (20, 60))


def scaled(picture: Picture, random: np.random.Generator) -> Picture:
    """15 to 25 % smaller or larger, each voxel size 4 % off at most; up to 20 degrees and 30 mm."""
    size = 1 + random.choice((-1, 1)) * random.uniform(0.15, 0.25)
    sizes = np.diag([*(size * random.uniform(0.96, 1.04, 3)), 1.0])
    world = picture.affine @ sizes @ np.linalg.inv(picture.affine)
    return posed(picture.placed(world), random, (0, 20), (0, 30))


def far(picture: Picture, random: np.random.Generator) -> Picture:
    """Headers 135 mm apart, up to 15 degrees; the axes in another order."""
    return recoded(posed(picture, random, (0, 15), (135, 135)), random)


def without_origin(picture: Picture, random: np.random.Generator) -> Picture:
    """The first voxel at the world's origin, up to 10 degrees; the axes in another order."""
    other = recoded(posed(picture, random, (0, 10), (0, 0)), random)
    world = np.eye(4)
    world[:3, 3] = -other.affine[:3, 3]
    return other.placed(world)


def without_top(picture: Picture, random: np.random.Generator) -> Picture:
    """The upper quarter of the anatomy cut off; up to 20 degrees and 40 mm."""
    axis, up = _vertical(picture.affine)
    shown = np.flatnonzero(foreground_mask(picture.voxels).any(axis=tuple(n for n in range(3) if n != axis)))
    lost = round(TOP * (shown[-1] - shown[0]))
    first, last = (0, shown[-1] - lost) if up else (shown[0] + lost, picture.voxels.shape[axis])
    voxels = np.take(picture.voxels, np.arange(first, last), axis=axis)
    shift = np.eye(4)
    shift[axis, 3] = first
    return posed(replace(picture, voxels=voxels, affine=picture.affine @ shift), random, (0, 20), (0, 40))


def with_thick_slices(picture: Picture, random: np.random.Generator) -> Picture:
    """Slices of 6 mm or a little more, means of thin ones; up to 25 degrees and 40 mm."""
    axis, _ = _vertical(picture.affine)
    count = int(np.ceil(THICK / spacing_of(picture.affine)[axis]))
    whole = picture.voxels.shape[axis] // count
    slices = np.moveaxis(np.take(picture.voxels, np.arange(whole * count), axis=axis), axis, 0).astype(np.float32)
    voxels = np.moveaxis(slices.reshape(whole, count, *slices.shape[1:]).mean(axis=1), 0, axis)
    change = np.eye(4)
    change[axis, axis], change[axis, 3] = count, (count - 1) / 2
    return posed(replace(picture, voxels=voxels, affine=picture.affine @ change), random, (0, 25), (0, 40))


def everything(picture: Picture, random: np.random.Generator) -> Picture:
    """25 to 45 degrees, 40 to 60 mm, up to 25 % of scale, the axes in another order."""
    sizes = np.diag([*[1 + random.uniform(-0.25, 0.25)] * 3, 1.0])
    world = picture.affine @ sizes @ np.linalg.inv(picture.affine)
    return recoded(posed(picture.placed(world), random, (25, 45), (40, 60)), random)


DISTURBANCES: dict[str, Disturbance] = {
    "turned": turned,
    "scaled": scaled,
    "headers far apart": far,
    "no origin": without_origin,
    "without its top": without_top,
    "thick slices": with_thick_slices,
    "everything": everything,
}


def posed(
    picture: Picture, random: np.random.Generator, degrees: tuple[float, float], millimetres: tuple[float, float]
) -> Picture:
    """Turn about the middle and shift, by amounts drawn from two ranges, axis and direction drawn too."""
    matrix, axis, way = np.eye(4), _direction(random), _direction(random)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(random.uniform(*degrees)) * axis).as_matrix()
    shift = random.uniform(*millimetres) * way
    matrix[:3, 3] = picture.centre + shift - matrix[:3, :3] @ picture.centre
    return picture.placed(matrix)


def recoded(picture: Picture, random: np.random.Generator) -> Picture:
    """The array's axes permuted and turned round, the header with them: nothing moves in the world."""
    codes = [code for code in ORIENTATIONS if code != orientation_of(picture.affine)]
    voxels, affine = reorient(picture.voxels, picture.affine, str(random.choice(codes)))
    return replace(picture, voxels=np.ascontiguousarray(voxels), affine=affine)


def _direction(random: np.random.Generator) -> Array:
    vector = random.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)


def _vertical(affine: Array) -> tuple[int, bool]:
    """The array's axis closest to the body's, and whether its index grows upwards."""
    code = orientation_of(affine)
    axis = next(n for n, letter in enumerate(code) if letter in "SI")
    return axis, code[axis] == "S"

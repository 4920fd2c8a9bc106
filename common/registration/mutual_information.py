"""Mutual information of two images under a linear map, and its maximum: the registration framework of SimpleITK.

Mattes' estimate (Mattes et al., SPIE 2001) over the voxels of one image, the ``sampled`` one, which the other is
interpolated at. One thread and one unit of work: ITK adds up the derivatives of several in the order in which they end,
so that two runs differ in the last bits and then in everything.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from common.geometry import Grid, background_value, extreme_points, foreground_mask, network_grid, resample, smooth_for
from common.geometry.affines import Array, spacing_of, transform_points
from common.geometry.alignment import closest_rotation
from common.geometry.cover import within_faces
from common.geometry.filling import fill_from_surroundings
from common.registration.simple_itk import matrix_of, to_image

BINS = 32
#: Voxels that the sum runs over at most: more of them cost time and do not move the maximum.
SAMPLES = 30_000
#: Voxels, drawn at random, that percentiles of larger images are taken from.
MANY = 500_000
#: Share of a face that the foreground has to cover for the anatomy to count as cut off there.
CUT = 0.02
_SEED = 42
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
_TRANSFORMS = {"rigid": "VersorRigid3DTransform", "similarity": "Similarity3DTransform"}


@dataclass(frozen=True, eq=False)
class SearchImage:
    """An image made ready for the search on one isotropic grid.

    Attributes:
        grid: covers the foreground and a wide margin.
        voxels: (X, Y, Z) float32, robustly clipped.
        foreground: (X, Y, Z) where the image shows something.
        known: (X, Y, Z) where its content is known: within the field of view, and beyond those of its faces that lie
            in air. Beyond a face that cuts through the anatomy nothing is known, and nothing is compared.
        points: (N, 3) foreground voxels, RAS millimetres.
    """

    grid: Grid
    voxels: NDArray[np.float32]
    foreground: NDArray[np.bool_]
    known: NDArray[np.bool_]
    points: Array

    @property
    def centre(self) -> Array:
        """Mean position of the foreground, (3,)."""
        return self.points.mean(axis=0)

    @property
    def spacing(self) -> float:
        """Millimetres a voxel."""
        return float(self.grid.spacing[0])


@dataclass(frozen=True, eq=False)
class Look:
    """An image at first sight, all (X, Y, Z): its voxels without outliers, where it shows something, where to look, and
    what says nothing.
    """

    voxels: NDArray[np.float32]
    affine: Array
    shown: NDArray[np.bool_]
    wanted: NDArray[np.bool_]
    excluded: NDArray[np.bool_] | None = None

    @property
    def size(self) -> float:
        """Largest extent of what to look at along the axes of the world, millimetres."""
        return float(np.ptp(extreme_points(self.wanted, self.affine), axis=0).max())


def look_at(image: MetaTensor, mask: NDArray[np.bool_] | None = None, exclude: NDArray[np.bool_] | None = None) -> Look:
    """Look at an image (1, X, Y, Z) of any intensities: the lowest and the highest 0.1 % of all voxels are clipped.

    Args:
        image: with its affine.
        mask: (X, Y, Z) where to look, such as the brain in a head; without it, or where it is empty, the foreground.
        exclude: (X, Y, Z) what says nothing, such as a lesion; its values are taken from around it.
    """
    array = image[0].numpy()
    if exclude is not None:
        array = fill_from_surroundings(array, exclude, spacing_of(image.affine.numpy()))
    values = array.ravel()
    if values.size > MANY:
        values = values[np.random.default_rng(_SEED).integers(0, values.size, MANY)]
    low, high = np.percentile(values, (0.1, 99.9)).astype(np.float32)
    if low < high:  # else what is shown is smaller than that
        array = np.clip(array, low, high)
    shown = foreground_mask(array)
    return Look(array, image.affine.numpy(), shown, shown if mask is None or not mask.any() else mask, exclude)


def prepare(look: Look, spacing: float, margin: float) -> SearchImage:
    """Bring an image onto an isotropic grid along its own axes, with so many millimetres around what is looked at.

    What is brighter than 99 % of the foreground is clipped.
    """
    affine, shape = look.affine, look.voxels.shape
    view = Grid((shape[0], shape[1], shape[2]), affine)
    grid = network_grid(view, extreme_points(look.wanted, affine), spacing=spacing, multiple=1, margin=margin)
    fill = background_value(look.voxels)
    fill = float(look.voxels.min()) if fill is None else fill
    clipped = np.minimum(look.voxels, np.percentile(look.voxels[look.shown][::7], 99).astype(np.float32))
    blurred = smooth_for(torch.from_numpy(clipped)[None], affine, spacing)
    voxels = resample(blurred, affine, grid, fill=fill)[0].numpy()
    foreground, known = _nearest(look.wanted, affine, grid), _known(look.shown, affine, grid)
    if look.excluded is not None:
        known &= ~_nearest(look.excluded, affine, grid)
    return SearchImage(grid, voxels, foreground, known, _points(grid, foreground & known))


def _nearest(mask: NDArray[np.bool_], affine: Array, grid: Grid) -> NDArray[np.bool_]:
    return resample(torch.from_numpy(mask)[None].float(), affine, grid, mode="nearest")[0].numpy() > 0.5


def _points(grid: Grid, mask: NDArray[np.bool_]) -> Array:
    return transform_points(grid.affine, np.argwhere(mask))


def _known(shown: NDArray[np.bool_], affine: Array, grid: Grid) -> NDArray[np.bool_]:
    """Mask (X, Y, Z) on the grid of what the field of view and its faces in air say something about."""
    faces = [(axis, last) for axis in range(3) for last in (False, True) if shown.take(-last, axis).mean() > CUT]
    return within_faces(grid, shown.shape, affine, faces)


def coarser(volume: SearchImage, factor: int) -> SearchImage:
    """The same on every n-th voxel, blurred before."""
    spacing = volume.spacing * factor
    shape = tuple(-(-n // factor) for n in volume.grid.shape)
    grid = Grid((shape[0], shape[1], shape[2]), volume.grid.affine @ np.diag([factor, factor, factor, 1.0]))
    blurred = smooth_for(torch.from_numpy(volume.voxels)[None], volume.grid.affine, spacing)
    voxels = resample(blurred, volume.grid.affine, grid, fill=None)[0].numpy()
    foreground, known = (_nearest(mask, volume.grid.affine, grid) for mask in (volume.foreground, volume.known))
    return replace(
        volume, grid=grid, voxels=voxels, foreground=foreground, known=known, points=_points(grid, foreground & known)
    )


class Likeness:
    """Mutual information of a pair of volumes on one level, as a function of a map from ``sampled`` to ``other``.

    Maps are (4, 4) in RAS millimetres. The sum runs over the foreground of ``sampled`` and a rim of one and a half
    voxels around it, as far as ``other`` is known where they land.
    """

    def __init__(self, sampled: SearchImage, other: SearchImage) -> None:
        self.sampled, self.other = sampled, other
        region = binary_dilation(sampled.foreground, iterations=2) & sampled.known
        # ITK measures a step as the length of all parameters together, whatever their scales. In units of the anatomy's
        # radius a turn, a stretch and a shift by the same number move it equally far; in millimetres, once the shift
        # has been found, a step of four is a stretch by four.
        self._unit = float(np.sqrt(((sampled.points - sampled.centre) ** 2).sum(axis=1).mean()))
        self._share = min(1.0, SAMPLES / max(int(region.sum()), 1))
        grids = [self._scaled(volume.grid) for volume in (sampled, other)]
        self._images = [to_image(volume.voxels, grid) for volume, grid in zip((sampled, other), grids, strict=True)]
        self._masks = [
            to_image(mask.astype(np.uint8), grid) for mask, grid in zip((region, other.known), grids, strict=True)
        ]

    def value(self, matrix: Array) -> float:
        """Mutual information in nats; 0 where the images do not meet."""
        method = self._method()
        method.SetInitialTransform(self._transform("affine", matrix), inPlace=False)
        try:
            return -float(method.MetricEvaluate(*self._images))
        except RuntimeError:  # ITK: all samples map outside
            return 0.0

    def maximum(self, kind: str, start: Array, step: float, last: float) -> Array:
        """Climb from a start by gradient steps that are halved at every turn back.

        Args:
            kind: ``rigid``, ``similarity`` or ``affine``; of the start only this much is kept.
            start: (4, 4).
            step: millimetres of the first step.
            last: millimetres of a step at which to stop.

        Returns:
            (4, 4): the last place, which need not be the best one.
        """
        method = self._method(smooth_gradient=True)
        method.SetInitialTransform(self._transform(kind, start), inPlace=False)
        method.SetOptimizerAsRegularStepGradientDescent(step / self._unit, last / self._unit, 60, 0.5)
        method.SetOptimizerScales(self._scales(kind))
        try:
            return self._matrix(method.Execute(*self._images))
        except RuntimeError:
            return start

    def search(self, rise: float, scale: float) -> list[tuple[float, Array]]:
        """Try rotations in steps of 21 degrees, up to 42 about each axis, with both centres on each other.

        Args:
            rise: millimetres by which the centres may differ along the sampled image's world z: necks are cut anywhere.
            scale: what to try beside 1: ``1 - scale`` and ``1 + scale``; 0 for none.

        Returns:
            Mutual information and map of every place tried.
        """
        import SimpleITK

        method, found = self._method(), []
        transform = self._transform("similarity", np.eye(4))
        transform.SetTranslation(((_lps(self.other.centre) - _lps(self.sampled.centre)) / self._unit).tolist())
        method.SetInitialTransform(transform, inPlace=False)
        method.SetOptimizerAsExhaustive([2, 2, 2, 0, 0, 1, 1 if scale else 0], stepLength=1.0)
        method.SetOptimizerScales([_TURN, _TURN, _TURN, 1.0, 1.0, rise / self._unit, scale or 1.0])
        note = lambda: found.append((-method.GetMetricValue(), method.GetOptimizerPosition()))  # noqa: E731
        method.AddCommand(SimpleITK.sitkIterationEvent, note)
        method.Execute(*self._images)
        poses = []
        for value, parameters in found:
            if np.linalg.norm(parameters[:3]) < _WIDEST:
                transform.SetParameters(parameters)
                poses.append((float(value), self._matrix(transform)))
        return poses

    def _method(self, smooth_gradient: bool = False) -> Any:
        import SimpleITK

        method = SimpleITK.ImageRegistrationMethod()
        method.SetNumberOfThreads(1)
        method.SetNumberOfWorkUnits(1)  # the metric is cut into these, whatever the number of threads
        method.SetMetricAsMattesMutualInformation(BINS)
        method.SetInterpolator(SimpleITK.sitkLinear)
        method.SetMetricUseFixedImageGradientFilter(False)
        method.SetMetricUseMovingImageGradientFilter(smooth_gradient)
        if self._share < 1:
            method.SetMetricSamplingStrategy(method.RANDOM)
            method.SetMetricSamplingPercentage(self._share, _SEED)
        method.SetMetricFixedMask(self._masks[0])
        method.SetMetricMovingMask(self._masks[1])
        return method

    def _transform(self, kind: str, matrix: Array) -> Any:
        """The ITK transform of a kind that is closest to a map, turning about the centre of ``sampled``."""
        import SimpleITK

        lps, centre = _FLIP @ matrix @ _FLIP, _lps(self.sampled.centre)
        linear, shift = lps[:3, :3], lps[:3, :3] @ centre + lps[:3, 3] - centre
        if kind != "affine":
            size = np.linalg.svd(linear, compute_uv=False).mean() if kind == "similarity" else 1.0
            linear = size * closest_rotation(linear)
        transform: Any = SimpleITK.AffineTransform(3) if kind == "affine" else getattr(SimpleITK, _TRANSFORMS[kind])()
        # ITK checks that rotations are some: to within rounding, they are.
        transform.SetMatrix(linear.ravel().tolist(), *(() if kind == "affine" else (1e-6,)))
        transform.SetCenter((centre / self._unit).tolist())
        transform.SetTranslation((shift / self._unit).tolist())
        return transform

    def _matrix(self, transform: Any) -> Array:
        """(4, 4) in RAS millimetres."""
        matrix = _FLIP @ matrix_of(transform) @ _FLIP
        matrix[:3, 3] *= self._unit
        return matrix

    def _scaled(self, grid: Grid) -> Grid:
        """The grid in units of the anatomy's radius."""
        return Grid(grid.shape, np.diag([*[1 / self._unit] * 3, 1.0]) @ grid.affine)

    def _scales(self, kind: str) -> list[float]:
        """Mean square of what a unit of each parameter moves the foreground by, in units of its radius."""
        if kind == "affine":
            return [1 / 3] * 9 + [1.0] * 3
        turn = [4 * 2 / 3] * 3  # a versor is half the angle, and only what is off the axis moves
        return turn + [1.0] * 3 + ([1.0] if kind == "similarity" else [])


#: Versor components: sine of half the angle, here 21 degrees, and the widest rotation worth a try, 65 degrees.
_TURN, _WIDEST = 0.18, float(np.sin(np.radians(65) / 2))


def _lps(point: Array) -> Array:
    return point * (-1.0, -1.0, 1.0)

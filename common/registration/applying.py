"""Stored transforms on further files: images, series, labels, segmentations and points, all to one place.

Everything goes where the moving image went: an image is pulled through the transforms, points are pushed through their
inverse, so that a point stays on its structure.
"""

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.geometry import Grid, background_value
from common.geometry.pulling import EXACT, pull
from common.images.series import Series, read_series, save_series
from common.registration.chain import MISSED, Chain, Reference
from common.registration.jobs import NIFTI, Job
from common.registration.point_files import is_point_file, read_point_file
from common.registration.segmentations import SUFFIX, Segmentation, read_segmentation, write_segmentation
from common.registration.simple_itk import to_image
from common.writing import write_atomically

logger = logging.getLogger(__name__)

#: Share of neighbours inside of an image of whole numbers that are equal in label maps and in hardly any image.
EQUAL_NEIGHBOURS = 0.6


def apply_to_files(jobs: Sequence[Job], chain: Chain, reference: str | None, fill: float | None = None) -> None:
    """Move files.

    Args:
        jobs: see ``plan``.
        chain: the transforms.
        reference: image whose grid the results have; points alone need none.
        fill: value outside of an image; its own background without it. Labels get 0.

    Raises:
        InputError: a file cannot be read or written, or the transforms do not lead from the reference to an input.
    """
    place = Reference(chain, reference) if reference is not None else None
    for job in jobs:
        if is_point_file(job.source):
            _move_points(job, chain)
        elif place is None:
            raise InputError(f"input {job.source}: expected a reference, whose grid the result gets, got none")
        elif job.source.lower().endswith(SUFFIX):
            _move_segmentation(job, place)
        else:
            _move_image(job, place, fill)


def _move_points(job: Job, chain: Chain) -> None:
    file = read_point_file(job.source)
    moved, missed = chain.push(file.points)
    if (missed > MISSED).any():
        logger.warning(
            "%d of the %d points of %s have no place that the transforms bring to them: off by up to %.1f mm",
            int((missed > MISSED).sum()), len(missed), job.source, float(missed.max()),
        )  # fmt: skip
    text = file.text(moved)
    write_atomically(job.target, lambda path: path.write_text(text, encoding="utf-8"))


def _move_segmentation(job: Job, place: Reference) -> None:
    found = read_segmentation(job.source)
    place.check_landing(job.source, found.grid)
    layers = np.stack([pull(layer, found.grid.affine, place.field, job.interpolation) for layer in found.layers])
    moved = Segmentation(layers, place.grid, found.header)
    write_atomically(job.target, lambda path: write_segmentation(moved, path))


def _move_image(job: Job, place: Reference, fill: float | None) -> None:
    series = read_series(job.source, "input")
    if series.count > 1 and not job.target.name.lower().endswith(NIFTI):
        raise InputError(f"output {job.target}: expected .nii or .nii.gz for a series of {series.count} volumes")
    place.check_landing(job.source, series.grid)
    volumes = series.volumes()
    first = next(volumes)
    if job.interpolation not in EXACT and looks_like_labels(first):
        logger.warning(
            "%s looks like a label map; %s interpolation mixes labels: give --interpolation label",
            job.source, job.interpolation,
        )  # fmt: skip
    outside = outside_of(first, job.interpolation) if fill is None else fill
    kind = stored_type(first) if job.interpolation in EXACT else np.float32
    moved = np.empty((*place.grid.shape, series.count), dtype=kind)
    for number, volume in enumerate(itertools.chain([first], volumes)):
        moved[..., number] = pull(volume, series.grid.affine, place.field, job.interpolation, outside)
    write_atomically(job.target, lambda path: _write_image(moved, series, place.grid, path))


def outside_of(volume: NDArray, interpolation: str) -> float:
    """What stands for nothing: 0 for labels, else the image's background or its smallest value."""
    if interpolation in EXACT:
        return 0.0
    background = background_value(volume)
    return float(volume.min()) if background is None else background


def stored_type(volume: NDArray) -> np.dtype:
    """A type for the volume's values that NIfTI and its readers know: few of them take 64-bit integers."""
    if volume.dtype.kind == "b":
        return np.dtype(np.uint8)
    if volume.dtype.kind in "ui" and volume.dtype.itemsize == 8:
        return np.dtype(np.int32 if int(volume.max()) < 2**31 else np.float64)
    if volume.dtype == np.float16:
        return np.dtype(np.float32)
    return volume.dtype


def looks_like_labels(volume: NDArray) -> bool:
    """Whether an image holds whole numbers of which most neighbours inside of the foreground are equal."""
    middle = volume[:, :, volume.shape[2] // 4 :: max(1, volume.shape[2] // 8)]
    if not np.array_equal(middle, np.rint(middle)):
        return False
    one, other = middle[1:], middle[:-1]
    both = (one != 0) & (other != 0)
    return bool(both.any() and (one == other)[both].mean() > EQUAL_NEIGHBOURS)


def _write_image(values: NDArray, series: Series, grid: Grid, path: Path) -> None:
    if path.name.lower().endswith(NIFTI):
        save_series(values, series, grid, path)
        return
    import SimpleITK

    SimpleITK.WriteImage(to_image(values[..., 0], grid), str(path), True)

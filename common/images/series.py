"""Images with a fourth axis, such as functional or diffusion series: one volume at a time, all on one grid."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.geometry import Grid, check_affine
from common.images.damage import check_container
from common.images.headers import READ_ERRORS, check_voxel_type, three_dimensional
from common.images.nifti import affine_of, is_nibabel_file, open_image, units_of
from common.images.volumes import nifti_image, read_volume


@dataclass(frozen=True, eq=False)
class Series:
    """One or more volumes (X, Y, Z) on a grid.

    Attributes:
        path: of the file.
        grid: of every volume.
        count: how many volumes.
        step: distance between two volumes along the fourth axis, in ``unit``; 0 where the file has none.
        unit: NIfTI's word for it, such as ``sec``.
        source: the volumes: an array, or nibabel's proxy of one (X, Y, Z, T).
    """

    path: str
    grid: Grid
    count: int
    step: float
    unit: str
    source: Any

    def volumes(self) -> Iterator[NDArray]:
        """Read one volume after the other, scaled by the file's slope and intercept.

        Raises:
            InputError: the file is cut short or damaged.
        """
        for number in range(self.count):
            try:
                yield np.asarray(self.source[..., number]).reshape(self.grid.shape)
            except READ_ERRORS as error:
                raise InputError(f"image {self.path}: expected a complete image, got a damaged one: {error}") from error


def read_series(path: str | Path, role: str) -> Series:
    """Open an image of three or four axes; the fourth one of NIfTI only.

    Raises:
        InputError: as ``read_volume``.
    """
    if not (is_nibabel_file(path) and Path(path).is_file() and (image := _four_axes(path)) is not None):
        volume = read_volume(path, role)
        return Series(str(path), volume.grid, 1, 0.0, "", volume.voxels[..., None])
    name = f"{role} image {path}"
    check_voxel_type(image.get_data_dtype(), name)
    grid = Grid(three_dimensional(image.shape[:3], name), check_affine(affine_of(image, name), name))
    try:
        check_container(path)
    except READ_ERRORS as error:
        raise InputError(f"{name}: expected a complete image, got a damaged one: {error}") from error
    step, unit = (float(image.header["pixdim"][4]), units_of(image.header)[1]) if _is_nifti(image) else (0.0, "")
    return Series(str(path), grid, image.shape[3], step, unit, image.dataobj)


def _four_axes(path: str | Path) -> Any:
    """The image that has exactly four axes, the last longer than one; None for others and for what cannot be read."""
    try:
        image: Any = open_image(path, str(path))
    except READ_ERRORS:
        return None
    return image if len(image.shape) == 4 and image.shape[3] > 1 else None


def _is_nifti(image: Any) -> bool:
    return isinstance(image, nib.Nifti1Pair)


def save_series(volumes: NDArray, series: Series, grid: Grid, path: Path) -> None:
    """Write volumes (X, Y, Z, T) as NIfTI on a grid, with the step and unit of the series they were made from."""
    image = nifti_image(volumes if series.count > 1 else volumes[..., 0], grid.affine)
    if series.count > 1:
        image.header["pixdim"][4] = series.step
        image.header.set_xyzt_units("mm", series.unit if series.unit not in ("", "unknown") else None)
    nib.save(image, path)

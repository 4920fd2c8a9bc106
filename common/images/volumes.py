"""Voxels of one image file with their place in the world: read from any format, written as NIfTI."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import DTypeLike, NDArray

from common.errors import InputError
from common.geometry import Grid, reorient, shear_of
from common.geometry.affines import Array
from common.images.damage import check_container
from common.images.dicom import dicom_files
from common.images.headers import READ_ERRORS, read_header, three_dimensional
from common.images.nifti import ITK_SHEAR, is_nibabel_file, open_image

#: NIfTI codes: millimetres, scanner coordinates.
_MM, _SCANNER = 2, 1
#: Voxels along an axis that NIfTI-1 can count.
_NIFTI1_LIMIT = 32767


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels (X, Y, Z) in the order of their file, and the affine (4, 4) from index to RAS millimetres.

    ``modality`` is DICOM's word for how it was taken, such as ``CT``; empty for other files.
    """

    voxels: NDArray
    affine: Array
    modality: str = ""

    @property
    def grid(self) -> Grid:
        """The grid of the voxels."""
        x, y, z = self.voxels.shape
        return Grid((x, y, z), self.affine)

    def in_ras(self) -> "Volume":
        """The same voxels with axes that run to the right, to the front and up, as nearly as they can."""
        return Volume(*reorient(self.voxels, self.affine, "RAS"), self.modality)


def read_volume(path: str | Path, role: str) -> Volume:
    """Read one 3-D image; its header is checked as ``read_header`` does.

    Args:
        path: NIfTI, MGH, NRRD, MHA, or a folder with one DICOM series.
        role: what the image is (``fixed``, ``moving`` ...), for the error text.

    Returns:
        Voxels scaled by the file's slope and intercept: in the file's type where it has none of these, else float.
        Formats that ITK reads come as float32.

    Raises:
        InputError: as ``read_header``, and for voxels that are cut short or damaged.
    """
    header = read_header(path, role)
    try:
        check_container(path)
        image = open_image(path, f"{role} image {path}") if is_nibabel_file(path) else None
        voxels = _itk_voxels(path) if image is None else np.asanyarray(image.dataobj)
    except READ_ERRORS as error:
        lines = str(error).strip().splitlines() or ["no further text"]
        raise InputError(
            f"{role} image {path}: expected a complete image, got a truncated or damaged one "
            f"({type(error).__name__}: {lines[0]})"
        ) from error
    shape = three_dimensional(voxels.shape, f"{role} image {path}")
    return Volume(voxels.reshape(shape), header.grid.affine, header.modality)


def _itk_voxels(path: str | Path) -> NDArray[np.float32]:
    """ITK's Python wheels wrap few pixel types; read as float they all work. Labels are exact up to 2^24."""
    import itk

    image = itk.imread(dicom_files(path) if Path(path).is_dir() else str(path), itk.F)
    return itk.array_from_image(image).T


def save_volume(voxels: NDArray, affine: Array, path: Path, dtype: DTypeLike = np.float32) -> None:
    """Write voxels as NIfTI, with nothing in the header but the grid.

    Args:
        voxels: (X, Y, Z).
        affine: (4, 4), RAS millimetres.
        path: ``.nii`` or ``.nii.gz``.
        dtype: voxel type of the file.
    """
    nib.save(nifti_image(voxels.astype(dtype, copy=False), affine), path)


def nifti_image(values: NDArray, affine: Array) -> nib.Nifti1Image:
    """A NIfTI image whose sform and qform both say ``affine``, in scanner millimetres.

    A qform cannot hold oblique axes that are not orthogonal. It is left out for them: a program that reads only qforms
    then refuses the file instead of looking at another place.
    """
    kind = nib.Nifti2Image if max(values.shape) > _NIFTI1_LIMIT else nib.Nifti1Image
    image = kind(values, affine)
    image.set_sform(affine, _SCANNER)
    image.set_qform(affine, _SCANNER if shear_of(affine) <= ITK_SHEAR else 0)
    image.header.set_xyzt_units(_MM)
    return image

"""What an image file says of itself, read without its voxels, so that a long run can refuse bad input at its start."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import ArrayLike

from common.errors import InputError
from common.geometry import Grid, check_affine, swap_ras_lps
from common.images.dicom import check_slices, dicom_files
from common.images.nifti import ITK_SHEAR as ITK_SHEAR
from common.images.nifti import affine_of, is_nibabel_file, open_image

#: What the readers raise for files that are no images, are cut short or are damaged.
READ_ERRORS = (
    *(OSError, EOFError, ValueError, RuntimeError, OverflowError, MemoryError),
    *(zlib.error, ImageFileError, HeaderDataError),
)


@dataclass(frozen=True, eq=False)
class Header:
    """Shape, affine (RAS) and type of the voxels of one image file, and DICOM's word for how it was taken (``CT``)."""

    path: str
    grid: Grid
    dtype: str
    modality: str = ""


def read_header(path: str | Path, role: str, warn: bool = True) -> Header:
    """Read and check an image's header.

    Args:
        path: an image file, or a folder with one DICOM series.
        role: what the image is in the pair (``fixed``, ``moving`` ...), for the error text.
        warn: say what is doubtful; not where the voxels are read later, which says it then.

    Raises:
        InputError: no such file, no image, not 3-D, complex or colour voxels, an affine that cannot be used, or DICOM
            slices that do not make up one volume.
    """
    name = f"{role} image {path}"
    if not isinstance(path, (str, Path)) or not str(path):
        raise InputError(f"{role} image: expected a path, got {path!r}")
    if not Path(path).exists():
        raise InputError(f"{name}: expected an image file, got no such file")
    try:
        modality = ""
        if is_nibabel_file(path):
            shape, affine, dtype = _nibabel_header(path, name, warn)
        elif Path(path).is_dir():
            files = dicom_files(path)
            modality = check_slices(files)
            shape, affine, dtype = _series_geometry(files)
        else:
            shape, affine, dtype = _itk_header(path)
    except InputError:
        raise
    except READ_ERRORS as error:
        raise InputError(f"{name}: expected an image (NIfTI, MGH, NRRD, MHA, DICOM folder), {_first(error)}") from error
    check_voxel_type(dtype, name)
    return Header(str(path), Grid(three_dimensional(shape, name), check_affine(affine, name)), str(dtype), modality)


def three_dimensional(shape: tuple[int, ...], name: str) -> tuple[int, int, int]:
    """Return the shape without trailing axes of one voxel if the image is 3-D, else raise ``InputError``.

    >>> three_dimensional((5, 6, 7, 1), "fixed")
    (5, 6, 7)
    """
    kept = [int(n) for n in shape]
    while len(kept) > 3 and kept[-1] == 1:
        kept.pop()
    if len(kept) != 3 or min(kept) < 2:
        raise InputError(
            f"{name}: expected a 3-D image with at least 2 voxels along every axis, "
            f"got {sum(n > 1 for n in kept)}-D of shape {'x'.join(str(n) for n in shape)}"
        )
    return kept[0], kept[1], kept[2]


def check_voxel_type(dtype: np.dtype | str, name: str) -> None:
    """Raise ``InputError`` unless the voxels are single integers or floats."""
    if not isinstance(dtype, str) and (dtype.names or dtype.kind not in "uifb"):
        raise InputError(f"{name}: expected integer or float voxels, got {dtype.name} (colour or complex)")


def _first(error: BaseException) -> str:
    """The first line of an error, as a clause."""
    lines = str(error).strip().splitlines()
    return f"got {type(error).__name__}: {lines[0] if lines else 'no further text'}"


def _nibabel_header(path: str | Path, name: str, warn: bool) -> tuple[tuple[int, ...], ArrayLike, np.dtype | str]:
    image = open_image(path, name)
    return image.shape, affine_of(image, name, warn), image.get_data_dtype()


def _itk_header(path: str | Path) -> tuple[tuple[int, ...], ArrayLike, np.dtype | str]:
    import itk

    reader = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
    if reader is None:
        raise ValueError("no reader for this file")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    if reader.GetNumberOfComponents() != 1:
        raise ValueError(f"{reader.GetNumberOfComponents()} components a voxel instead of 1")
    count = reader.GetNumberOfDimensions()
    shape = tuple(reader.GetDimensions(axis) for axis in range(count))
    affine = np.eye(4)
    for axis in range(min(count, 3)):
        direction = list(reader.GetDirection(axis))[:3]
        affine[: len(direction), axis] = np.asarray(direction) * reader.GetSpacing(axis)
        affine[axis, 3] = reader.GetOrigin(axis)
    return shape, swap_ras_lps(affine), reader.GetComponentTypeAsString(reader.GetComponentType())


def _series_geometry(files: list[str]) -> tuple[tuple[int, ...], ArrayLike, np.dtype | str]:
    import itk

    image = itk.imread(files, itk.F)
    affine = np.eye(4)
    affine[:3, :3] = itk.array_from_matrix(image.GetDirection()) * np.asarray(image.GetSpacing())
    affine[:3, 3] = np.asarray(image.GetOrigin())
    return tuple(int(n) for n in image.GetLargestPossibleRegion().GetSize()), swap_ras_lps(affine), "float"

"""What an image file says of itself, read without its voxels, so that a long run can refuse bad input at its start."""

import logging
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import ArrayLike

from common.errors import InputError
from common.geometry import Grid, check_affine, shear_of, swap_ras_lps

logger = logging.getLogger(__name__)

#: Formats that nibabel reads here; everything else goes to ITK (NRRD, MHA, a folder with a DICOM series).
NIBABEL_SUFFIXES = (".nii", ".nii.gz", ".mgz", ".mgh", ".hdr", ".img", ".img.gz")
#: What the readers raise for files that are no images, are cut short or are damaged.
READ_ERRORS = (OSError, EOFError, ValueError, RuntimeError, zlib.error, ImageFileError, HeaderDataError)
#: Cosine between axes above which ITK refuses a header.
ITK_SHEAR = 1e-4


@dataclass(frozen=True, eq=False)
class Header:
    """Shape, affine (RAS) and type of the voxels of one image file."""

    path: str
    grid: Grid
    dtype: str


def is_nibabel_file(path: str | Path) -> bool:
    """Whether nibabel reads this path here, judged by its suffix.

    >>> is_nibabel_file("a/b.NII.GZ"), is_nibabel_file("a/b.nrrd")
    (True, False)
    """
    return str(path).lower().endswith(NIBABEL_SUFFIXES)


def read_header(path: str | Path, role: str) -> Header:
    """Read and check an image's header.

    Args:
        path: an image file, or a folder with one DICOM series.
        role: what the image is in the pair (``fixed``, ``moving`` ...), for the error text.

    Raises:
        InputError: no such file, no image, not 3-D, complex or colour voxels, or an affine that cannot be used.
    """
    name = f"{role} image {path}"
    if not isinstance(path, (str, Path)) or not str(path):
        raise InputError(f"{role} image: expected a path, got {path!r}")
    if not Path(path).exists():
        raise InputError(f"{name}: expected an image file, got no such file")
    try:
        shape, affine, dtype = _nibabel_header(path, name) if is_nibabel_file(path) else _itk_header(path)
    except InputError:
        raise
    except READ_ERRORS as error:
        raise InputError(f"{name}: expected an image (NIfTI, MGH, NRRD, MHA, DICOM folder), {_first(error)}") from error
    check_voxel_type(dtype, name)
    return Header(str(path), Grid(three_dimensional(shape, name), check_affine(affine, name)), str(dtype))


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


def _nibabel_header(path: str | Path, name: str) -> tuple[tuple[int, ...], ArrayLike, np.dtype]:
    image = nib.load(path)
    if isinstance(image, nib.Nifti1Pair):
        _check_raw_spacing(image, name)
        _warn_of_codes(image.header, image.affine, name)
    return image.shape, image.affine, image.get_data_dtype()  # type: ignore[attr-defined]


def _check_raw_spacing(image: nib.Nifti1Pair, name: str) -> None:
    """Look at the spacing as it stands in the file: nibabel mends a negative one on the way in."""
    holder = image.file_map.get("header") or image.file_map["image"]
    with holder.get_prepare_fileobj("rb") as stream:
        raw = image.header_class.from_fileobj(stream, check=False)
    spacing = np.asarray(raw["pixdim"][1:4], dtype=np.float64)
    if not np.isfinite(spacing).all() or (spacing <= 0).any():
        values = ", ".join(f"{value:g}" for value in spacing)
        raise InputError(f"{name}: expected a voxel spacing above zero along every axis, got ({values}) in pixdim")


def _warn_of_codes(header: nib.Nifti1Header, affine: np.ndarray, name: str) -> None:
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if sform == 0 and qform == 0:
        logger.warning("%s: sform and qform code are 0; programs disagree on where such an image is", name)
    elif sform == 0:
        logger.warning("%s: sform code is 0; the qform is used", name)
    elif qform > 0:
        difference = float(np.abs(header.get_qform() - header.get_sform()).max())
        if difference > 1e-2:
            logger.warning(
                "%s: sform and qform disagree by up to %.3g; the sform is used, other programs may take the qform",
                name,
                difference,
            )
    if header.get_xyzt_units()[0] not in ("mm", "unknown"):
        unit = header.get_xyzt_units()[0]
        logger.warning("%s: its unit is %s; it is read as millimetres, ITK and ANTs convert it", name, unit)
    if np.linalg.norm(affine[:3, :3], axis=0).min() > 0 and shear_of(affine) > ITK_SHEAR:
        logger.warning("%s: its axes are not orthogonal; ITK and ANTs do not read such a header", name)


def _itk_header(path: str | Path) -> tuple[tuple[int, ...], ArrayLike, str]:
    import itk

    if Path(path).is_dir():
        image = itk.imread(dicom_files(path), itk.F)
        return _itk_geometry(image.GetLargestPossibleRegion().GetSize(), image)
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


def dicom_files(folder: str | Path) -> list[str]:
    """The files of a folder's DICOM series in their order.

    Raises:
        ValueError: there is no series, or more than one.
    """
    import itk

    names = itk.GDCMSeriesFileNames.New(Directory=str(folder))
    series = list(names.GetSeriesUIDs())
    if len(series) != 1:
        raise ValueError(f"a folder with {len(series)} DICOM series")
    return list(names.GetFileNames(series[0]))


def _itk_geometry(size: object, image: object) -> tuple[tuple[int, ...], ArrayLike, str]:
    import itk

    affine = np.eye(4)
    direction = itk.array_from_matrix(image.GetDirection())  # type: ignore[attr-defined]
    affine[:3, :3] = direction * np.asarray(image.GetSpacing())  # type: ignore[attr-defined]
    affine[:3, 3] = np.asarray(image.GetOrigin())  # type: ignore[attr-defined]
    return tuple(int(n) for n in size), swap_ras_lps(affine), "float"  # type: ignore[attr-defined]

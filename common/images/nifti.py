"""What nibabel's formats say of an image's place: the good part of a header is used, the bad part is named."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from common.errors import InputError
from common.geometry import shear_of
from common.geometry.affines import Array

logger = logging.getLogger(__name__)

#: Formats that nibabel reads here; everything else goes to ITK (NRRD, MHA, a folder with a DICOM series).
NIBABEL_SUFFIXES = (".nii", ".nii.gz", ".mgz", ".mgh", ".hdr", ".img", ".img.gz")
#: Cosine between axes above which ITK refuses a header.
ITK_SHEAR = 1e-4
#: By how much the square of a quaternion's first number may be below 0 and still be a rounded 0.
ROUNDED = -1e-3
_KINDS = (nib.Nifti1Image, nib.Nifti1Pair, nib.Nifti2Image, nib.Nifti2Pair)
_MILLIMETRES = {"meter": 1e3, "micron": 1e-3}
_GZIP = b"\x1f\x8b"
#: Deflate makes at most so many bytes of one.
_LARGEST_RATIO = 1032


def is_nibabel_file(path: str | Path) -> bool:
    """Whether nibabel reads this path here, judged by its suffix.

    >>> is_nibabel_file("a/b.NII.GZ"), is_nibabel_file("a/b.nrrd")
    (True, False)
    """
    return str(path).lower().endswith(NIBABEL_SUFFIXES)


def open_image(path: str | Path, name: str) -> Any:
    """Open a file that nibabel reads, whatever its qform holds; its voxels are not read yet.

    Args:
        path: the file.
        name: for the error text.

    Raises:
        InputError: the file is compressed and its name does not say so, or the other way round.
        InputError: the file cannot hold the voxels that its header promises.
        Exception: what nibabel raises for a file that is no image.
    """
    _check_suffix(Path(path), name)
    with _quiet():
        image = _opened(path)
    _check_length(image, name)
    return image


def _opened(path: str | Path) -> Any:
    try:
        return nib.load(path)
    except (ValueError, HeaderDataError):
        for kind in _KINDS:
            if kind.path_maybe_image(path)[0]:
                return _forgiving(kind).from_filename(path)
        raise


def _check_length(image: Any, name: str) -> None:
    """Refuse a header that promises more voxels than the file can hold: memory would be taken for all of them."""
    promised = math.prod(int(n) for n in image.shape) * image.get_data_dtype().itemsize
    path = Path(image.file_map["image"].filename)
    there = path.stat().st_size * (_LARGEST_RATIO if path.suffix.lower() in (".gz", ".mgz") else 1)
    if promised > there:
        raise InputError(
            f"{name}: expected a complete image, got a truncated or damaged one "
            f"(at most {there} bytes of the {promised} that its header says)"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep nibabel from saying what is said in our words, once."""
    theirs = nib.imageglobals.logger
    before, theirs.disabled = theirs.disabled, True
    try:
        yield
    finally:
        theirs.disabled = before


def _check_suffix(path: Path, name: str) -> None:
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP
    called = path.name.lower().endswith((".gz", ".mgz"))
    if compressed and not called:
        raise InputError(
            f"{name}: expected an image that is not compressed, as its name says, got gzip data: call it {path.name}.gz"
        )
    if called and not compressed and path.name.lower().endswith(".nii.gz") and path.stat().st_size:
        raise InputError(
            f"{name}: expected an image compressed by gzip, as its name says, got no gzip data: "
            f"if it is a plain NIfTI file, call it {path.name[: -len('.gz')]}"
        )


def _forgiving(kind: type) -> Any:
    """The image class with a header that takes a quaternion as long as 1 but for rounding."""
    header = type(kind.header_class.__name__, (kind.header_class,), {"quaternion_threshold": ROUNDED})  # type: ignore[attr-defined]
    return type(kind.__name__, (kind,), {"header_class": header})


def affine_of(image: Any, name: str, warn: bool = True) -> Array:
    """The affine (4, 4) to RAS millimetres of an image that ``open_image`` opened.

    The sform counts where it has a code, else the qform. Units of metres and microns become millimetres.

    Args:
        image: nibabel's.
        name: for warnings and errors.
        warn: say what is doubtful.

    Raises:
        InputError: there is no sform, and the voxel sizes that the qform needs are not above 0.
    """
    affine = np.asarray(image.affine, dtype=np.float64)
    if not isinstance(image, nib.Nifti1Pair):
        return affine
    doubts = _spacing_doubts(image, name) or _code_doubts(image.header)  # the qform needs the spacing
    unit = units_of(image.header)[0]
    if unit in _MILLIMETRES:
        affine[:3] *= _MILLIMETRES[unit]
        doubts.append(f"its unit is the {unit}: voxel sizes and positions were converted to millimetres")
    if np.linalg.norm(affine[:3, :3], axis=0).min() > 0 and shear_of(affine) > ITK_SHEAR:
        doubts.append("its axes are not orthogonal; ITK and ANTs do not read such a header")
    for doubt in doubts if warn else ():
        logger.warning("%s: %s", name, doubt)
    return affine


def units_of(header: nib.Nifti1Header) -> tuple[str, str]:
    """Units of space and time; unknown for what is none of the format's codes."""
    try:
        space, time = header.get_xyzt_units()
    except KeyError:
        return "unknown", "unknown"
    return space, time


def _spacing_doubts(image: Any, name: str) -> list[str]:
    """Look at the spacing as it stands in the file: nibabel mends a bad one on the way in."""
    holder = image.file_map.get("header") or image.file_map["image"]
    with _quiet(), holder.get_prepare_fileobj("rb") as stream:
        raw = image.header_class.from_fileobj(stream, check=False)
    spacing = np.asarray(raw["pixdim"][1:4], dtype=np.float64)
    if np.isfinite(spacing).all() and (spacing > 0).all():
        return []
    values = ", ".join(f"{value:g}" for value in spacing)
    if int(raw["sform_code"]) > 0:
        return [f"its voxel sizes are given as ({values}) in pixdim; the sform is used, which is good"]
    raise InputError(f"{name}: expected a voxel spacing above zero along every axis, got ({values}) in pixdim")


def _code_doubts(header: nib.Nifti1Header) -> list[str]:
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if sform == 0:
        if qform == 0:
            return ["sform and qform code are 0; programs disagree on where such an image is"]
        return ["sform code is 0; the qform is used"]
    if qform == 0:
        return []
    try:
        difference = float(np.abs(header.get_qform() - header.get_sform()).max())
    except (ValueError, HeaderDataError):
        return ["its qform is no rotation; the sform is used, other programs may refuse the file"]
    if difference <= 1e-2:
        return []
    return [f"sform and qform disagree by up to {difference:.3g}; the sform is used, other programs may take the qform"]

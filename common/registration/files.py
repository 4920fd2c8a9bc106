"""Result files: NIfTI images on the fixed grid, ITK displacement fields, and the folder that they go to."""

import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from common.errors import InputError
from common.geometry import Grid, ddf_to_lps, lps_to_ddf
from common.registration.headers import is_nibabel_file, three_dimensional

#: NIfTI codes: displacement vectors, millimetres, scanner coordinates.
_VECTOR, _MM, _SCANNER = 1007, 2, 1


def save_like(volume: Tensor, fixed: MetaTensor, path: Path, dtype: type = np.float32) -> None:
    """Write a volume with the fixed image's header.

    Args:
        volume: (X, Y, Z) on the grid of ``fixed``.
        fixed: the image whose file gives the header; from a file that is no NIfTI only the affine is taken.
        path: ``.nii.gz``.
        dtype: voxel type of the file.
    """
    affine = fixed.affine.numpy()
    header, kind = _nifti_header(str(fixed.meta["filename_or_obj"]))
    image = kind(volume.numpy().astype(dtype, copy=False), affine, header)
    image.set_data_dtype(dtype)
    image.header["cal_min"] = image.header["cal_max"] = 0
    if header is None:
        _place(image, affine)
    nib.save(image, path)


def _nifti_header(source: str) -> tuple[nib.Nifti1Header | None, type]:
    if is_nibabel_file(source) and Path(source).exists():
        image = nib.load(source)
        if isinstance(image, nib.Nifti1Pair):
            return image.header.copy(), nib.Nifti2Image if isinstance(image, nib.Nifti2Pair) else nib.Nifti1Image
    return None, nib.Nifti1Image


def _place(image: nib.Nifti1Image, affine: np.ndarray) -> None:
    image.set_sform(affine, _SCANNER)
    image.set_qform(affine, _SCANNER)
    image.header.set_xyzt_units(_MM)


def save_field(ddf: Tensor, affine: np.ndarray, path: Path) -> None:
    """Write a field as ITK, ANTs and Slicer read it: (X, Y, Z, 1, 3) float32, LPS millimetres, intent 1007.

    Args:
        ddf: (3, X, Y, Z) in voxels of the grid with ``affine``.
        affine: (4, 4), RAS.
        path: ``.nii.gz``.
    """
    lps = ddf_to_lps(ddf, affine).permute(1, 2, 3, 0)[:, :, :, None].numpy()
    image = nib.Nifti1Image(lps.astype(np.float32, copy=False), affine)
    image.header["intent_code"] = _VECTOR
    _place(image, affine)
    nib.save(image, path)


def read_field(path: str | Path) -> tuple[Tensor, Grid]:
    """Read a displacement field that ``save_field``, ITK or ANTs wrote.

    Returns:
        (3, X, Y, Z) float32 in LPS millimetres, and its grid.

    Raises:
        InputError: no such file, or no (X, Y, Z, 1, 3) NIfTI.
    """
    if not Path(path).is_file():
        raise InputError(f"displacement field {path}: expected a file, got no such file")
    try:
        image = nib.load(path)
        shape = image.shape  # type: ignore[attr-defined]
        if len(shape) != 5 or shape[3:] != (1, 3):
            raise InputError(f"displacement field {path}: expected shape (X, Y, Z, 1, 3), got {shape}")
        values = np.asarray(image.dataobj, dtype=np.float32)  # type: ignore[attr-defined]
    except (OSError, EOFError, nib.filebasedimages.ImageFileError) as error:
        raise InputError(f"displacement field {path}: expected a NIfTI file, got {error}") from error
    size = three_dimensional(tuple(shape[:3]), f"displacement field {path}")
    field = torch.from_numpy(values[:, :, :, 0].transpose(3, 0, 1, 2).copy())
    return field, Grid(size, np.asarray(image.affine, dtype=np.float64))  # type: ignore[attr-defined]


def field_as_ddf(path: str | Path) -> tuple[Tensor, Grid]:
    """Like ``read_field``, in voxels of the field's own grid."""
    field, grid = read_field(path)
    return lps_to_ddf(field, grid.affine), grid


def check_writable(folder: str | Path) -> Path:
    """Return the folder as a path if files can be written there; create nothing that stays.

    Raises:
        InputError: it or an ancestor is a file, or may not be written.
    """
    target = Path(folder).expanduser().absolute()
    existing = target
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise InputError(f"output folder {target}: expected a folder, got a file at {existing}")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(f"output folder {target}: expected to write into {existing}, got {error.strerror}") from error
    return target

"""Displacement fields as files of ITK, ANTs and Slicer: 5-D NIfTI of vectors in LPS millimetres."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from common.errors import InputError
from common.geometry import Grid, check_affine, ddf_to_lps, index_map
from common.geometry.affines import Array
from common.geometry.sampling import positions, row_ranges
from common.images.damage import check_container
from common.images.headers import READ_ERRORS, three_dimensional
from common.images.nifti import affine_of, open_image
from common.images.volumes import nifti_image

#: NIfTI's intent code of vectors, the one that ITK writes.
_VECTOR = 1007


def save_field(ddf: Tensor, affine: Array, path: Path) -> None:
    """Write a field as ITK, ANTs and Slicer read it: (X, Y, Z, 1, 3) float32, LPS millimetres, intent 1007.

    Args:
        ddf: (3, X, Y, Z) in voxels of the grid with ``affine``.
        affine: (4, 4), RAS.
        path: ``.nii.gz``.
    """
    lps = ddf_to_lps(ddf, affine).permute(1, 2, 3, 0)[:, :, :, None].numpy()
    image = nifti_image(lps.astype(np.float32, copy=False), affine)
    image.header["intent_code"] = _VECTOR
    nib.save(image, path)


def save_disp(ddf: Tensor, grid: Grid, moving_affine: Array, path: Path) -> None:
    """Write a field as Learn2Reg's scripts read it: (X, Y, Z, 3) float32, from voxels of fixed to voxels of moving.

    ``scipy.ndimage.map_coordinates(moving, identity + disp.transpose(3, 0, 1, 2))`` is the moved image. Where both
    images have one grid, as in Learn2Reg's data, that is the displacement in voxels.

    Args:
        ddf: (3, X, Y, Z) in voxels of ``grid``, which is the fixed image's.
        grid: where the field is.
        moving_affine: (4, 4) of the moving image, RAS.
        path: ``.nii.gz``.
    """
    to_moving = index_map(grid.affine, moving_affine)
    disp = np.empty((*grid.shape, 3), dtype=np.float32)
    for rows in row_ranges(grid.shape):
        # Displacements are added up, so that no large numbers cancel: M (i + u) - i = (M - 1) i + M u.
        moved = positions(to_moving - np.eye(4), grid.shape, rows)
        moved += torch.einsum("ab,bxyz->axyz", torch.from_numpy(to_moving[:3, :3]).float(), ddf[:, rows])
        disp[rows] = moved.permute(1, 2, 3, 0).numpy()
    nib.save(nifti_image(disp, grid.affine), path)


def read_field(path: str | Path) -> tuple[Tensor, Grid]:
    """Read a displacement field that ``save_field``, ITK or ANTs wrote.

    A header in metres or microns is one of its grid alone, as ITK reads it: vectors are millimetres.

    Returns:
        (3, X, Y, Z) float32 in LPS millimetres, and its grid.

    Raises:
        InputError: no such file, no (X, Y, Z, 1, 3) NIfTI, a damaged one, or a header that cannot be used.
    """
    if not Path(path).is_file():
        raise InputError(f"displacement field {path}: expected a file, got no such file")
    try:
        check_container(path)
        image: Any = open_image(path, f"displacement field {path}")
        values = np.asarray(image.dataobj, dtype=np.float32)
    except InputError:
        raise
    except READ_ERRORS as error:
        raise InputError(f"displacement field {path}: expected a NIfTI file, got {error}") from error
    shape = values.shape
    if len(shape) != 5 or shape[3:] != (1, 3):
        raise InputError(f"displacement field {path}: expected shape (X, Y, Z, 1, 3), got {shape}")
    size = three_dimensional(tuple(shape[:3]), f"displacement field {path}")
    field = torch.from_numpy(values[:, :, :, 0].transpose(3, 0, 1, 2).copy())
    affine = check_affine(affine_of(image, f"displacement field {path}"), f"displacement field {path}")
    return field, Grid(size, affine)

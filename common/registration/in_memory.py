"""From images and points in memory to the files that the pipeline reads: nibabel's, SimpleITK's, ITK's and MONAI's."""

import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.geometry import swap_ras_lps
from common.geometry.affines import Array
from common.geometry.transforms import ras_lps_points
from common.images import read_volume, save_volume
from common.images.volumes import nifti_image
from common.registration.applying import stored_type
from common.registration.simple_itk import grid_of_image
from common.switches import expanded


def image_file(image: Any, role: str, folder: Path) -> str:
    """Return the path of an image: its own, or that of a NIfTI file in ``folder`` that is written here.

    Args:
        image: see ``voxels_of``, or a path.
        role: what it is (``fixed``, ``moving_label`` ...): name of the file, and what errors call it.
        folder: where to write.

    Raises:
        InputError: neither.
    """
    if isinstance(image, (str, Path)):
        return str(expanded(image).absolute())
    voxels, affine = voxels_of(image, role)
    path = folder / f"{role}.nii"
    save_volume(voxels, affine, path, stored_type(voxels))
    return str(path)


def points_file(points: Any, role: str, folder: Path) -> str:
    """Return the path of points: their own, or that of a CSV file in ``folder`` that is written here.

    Args:
        points: a path, or (N, 3) in RAS millimetres.
        role: name of the file, and what errors call it.
        folder: where to write.

    Raises:
        InputError: neither.
    """
    if isinstance(points, (str, Path)):
        return str(expanded(points).absolute())
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3:
        raise InputError(f"{role}: expected a file or an array (N, 3) in RAS millimetres, got {array.shape}")
    path = folder / f"{role}.csv"
    np.savetxt(path, ras_lps_points(array), fmt="%.17g", delimiter=",", header="x,y,z", comments="")
    return str(path)


def voxels_of(image: Any, role: str) -> tuple[NDArray, Array]:
    """Voxels (X, Y, Z) of an image in memory, and its affine (4, 4) in RAS millimetres.

    Args:
        image: of nibabel, ``itk.Image``, ``SimpleITK.Image``, or a ``MetaTensor`` (1, X, Y, Z) or (X, Y, Z).
        role: what errors call it.

    Raises:
        InputError: none of these.
    """
    if isinstance(image, nib.spatialimages.SpatialImage):
        return np.asanyarray(image.dataobj), np.asarray(image.affine)
    if hasattr(image, "as_tensor") and hasattr(image, "affine"):
        voxels = image.detach().as_tensor().cpu().numpy()
        return (voxels[0] if voxels.ndim == 4 and len(voxels) == 1 else voxels), np.asarray(image.affine.cpu())
    # A library that nobody has imported has made no image.
    simple_itk, itk = sys.modules.get("SimpleITK"), sys.modules.get("itk")
    if simple_itk is not None and isinstance(image, simple_itk.Image) and image.GetDimension() == 3:
        return simple_itk.GetArrayFromImage(image).T, grid_of_image(image).affine
    if itk is not None and hasattr(image, "GetImageDimension") and image.GetImageDimension() == 3:
        affine = np.eye(4)
        affine[:3, :3] = itk.array_from_matrix(image.GetDirection()) * np.asarray(image.GetSpacing())
        affine[:3, 3] = image.GetOrigin()
        return itk.array_from_image(image).T, swap_ras_lps(affine)
    kind = f"{type(image).__module__}.{type(image).__qualname__}"
    wanted = "a path, or a 3-D image of nibabel, ITK, SimpleITK or MONAI (MetaTensor)"
    raise InputError(f"{role} image: expected {wanted}, got {kind}")


def read_whole(path: str | Path) -> nib.Nifti1Image:
    """A NIfTI file as an image in memory that needs the file no more."""
    volume = read_volume(path, "result")
    return nifti_image(volume.voxels, volume.affine)

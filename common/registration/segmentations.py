"""Segmentations of 3D Slicer (``.seg.nrrd``): label maps in layers, with a header that names every segment."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.geometry import Grid, shear_of
from common.images.headers import ITK_SHEAR
from common.registration.simple_itk import grid_of_image, to_image

SUFFIX = ".seg.nrrd"
_EXTENT = re.compile(r"Segment(\d+)_Extent")
#: What ITK notes about the file itself, which the new file gets anew.
_OF_THE_FILE = ("NRRD_", "ITK_")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Layers (L, X, Y, Z) of label values on a grid, and the header's words by key (``Segment0_Name`` ...)."""

    layers: NDArray
    grid: Grid
    header: dict[str, str]


def read_segmentation(path: str | Path) -> Segmentation:
    """Read a segmentation; segments that overlap lie in several layers.

    Raises:
        InputError: no such file, or no image that SimpleITK reads.
    """
    import SimpleITK

    if not Path(path).is_file():
        raise InputError(f"segmentation {path}: expected a file, got no such file")
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        last = str(error).strip().splitlines()[-1]
        raise InputError(f"segmentation {path}: expected a segmentation of 3D Slicer, got: {last}") from error
    if image.GetDimension() != 3:
        raise InputError(f"segmentation {path}: expected three axes of space, got {image.GetDimension()}")
    array = SimpleITK.GetArrayFromImage(image)
    layers = array.T if array.ndim == 4 else array.T[None]
    header = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if not key.startswith(_OF_THE_FILE)}
    return Segmentation(np.ascontiguousarray(layers), grid_of_image(image), header)


def write_segmentation(segmentation: Segmentation, path: Path) -> None:
    """Write a segmentation; the segments' extents are those of its own layers.

    Raises:
        InputError: a grid that NRRD cannot hold.
    """
    import SimpleITK

    if shear_of(segmentation.grid.affine) > ITK_SHEAR:
        raise InputError("segmentation: expected a reference with orthogonal axes, as ITK needs them, got sheared ones")
    layers = segmentation.layers
    image: Any = to_image(layers[0] if len(layers) == 1 else layers, segmentation.grid)
    for key, words in _with_extents(segmentation).items():
        image.SetMetaData(key, words)
    SimpleITK.WriteImage(image, str(path), True)


def _with_extents(segmentation: Segmentation) -> dict[str, str]:
    """The header with every segment's box, and no offset into another image."""
    header = dict(segmentation.header)
    for key in header:
        if found := _EXTENT.fullmatch(key):
            number = found.group(1)
            layer = segmentation.layers[int(header.get(f"Segment{number}_Layer", "0"))]
            header[key] = _extent(layer == int(header.get(f"Segment{number}_LabelValue", "1")))
    if "Segmentation_ReferenceImageExtentOffset" in header:
        header["Segmentation_ReferenceImageExtentOffset"] = "0 0 0"
    return header


def _extent(mask: NDArray[np.bool_]) -> str:
    """First and last index along each axis, as Slicer writes it; ``0 -1`` thrice for nothing."""
    ends = []
    for axis in range(3):
        filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        ends += [int(filled[0]), int(filled[-1])] if len(filled) else [0, -1]
    return " ".join(map(str, ends))

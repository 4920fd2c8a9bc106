"""Label maps as people have them: on a grid of their own, nearly whole numbers."""

import logging

import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.geometry import Grid, resample
from common.geometry.affines import spacing_of
from common.geometry.foreground import corner_points

logger = logging.getLogger(__name__)

#: Float32 holds whole numbers exactly below this.
LARGEST_LABEL = 2**24
#: By how much a value may differ from the whole number that it stands for.
NEARLY = 1e-2
#: Millimetres by which two affines of one grid may differ without a word; voxels, with one.
SAME_MM, SAME_VOXEL = 1e-2, 0.1


def fitted_label(label: MetaTensor, image: MetaTensor, name: str) -> MetaTensor:
    """Return the labels as whole numbers on their image's grid.

    Labels on another grid, such as a segmentation that Slicer cropped, are resampled by their own header (nearest
    neighbour); a grid that is off by less than a tenth of a voxel is taken for the image's. Both with a word.

    Args:
        label: (1, X', Y', Z').
        image: (1, X, Y, Z).
        name: for words and errors.

    Raises:
        InputError: values that are no labels, or no overlap with the image's field of view.
    """
    values = _whole(label.as_tensor(), name)
    meta = {"filename_or_obj": label.meta["filename_or_obj"]}
    apart = _apart(label, image)
    if apart > SAME_VOXEL:
        values = _resampled(values, label, image, name)
        logger.warning("%s: its grid is not that of its image; it was resampled by its own header", name)
    elif not torch.allclose(label.affine, image.affine, rtol=0, atol=SAME_MM):
        logger.warning("%s: its header is off by %.2g voxels; it is taken to lie on its image", name, apart)
    return MetaTensor(values, affine=image.affine.clone(), meta=meta)


def _whole(values: torch.Tensor, name: str) -> torch.Tensor:
    if not bool(torch.isfinite(values).all()):
        raise InputError(f"{name}: expected whole numbers, got values that are not finite")
    if float(values.abs().max()) >= LARGEST_LABEL:
        raise InputError(f"{name}: expected labels below 2^24 (held as float32), got {float(values.max()):.0f}")
    rounded = values.round()
    away = float((values - rounded).abs().max())
    if away > NEARLY:
        raise InputError(f"{name}: expected whole numbers, got fractions")
    if away > 0:
        logger.warning("%s: values up to %.1g away from whole numbers were rounded", name, away)
    return rounded


def _apart(label: MetaTensor, image: MetaTensor) -> float:
    """Largest distance of the corners of both grids in voxels of the image; infinite for other shapes."""
    if label.shape != image.shape:
        return float("inf")
    shape = (int(image.shape[1]), int(image.shape[2]), int(image.shape[3]))
    first, second = (corner_points(shape, volume.affine.numpy()) for volume in (label, image))
    return float(abs(first - second).max() / spacing_of(image.affine.numpy()).min())


def _resampled(values: torch.Tensor, label: MetaTensor, image: MetaTensor, name: str) -> torch.Tensor:
    shape = (int(image.shape[1]), int(image.shape[2]), int(image.shape[3]))
    grid = Grid(shape, image.affine.numpy())
    out = resample(values, label.affine.numpy(), grid, "nearest", 0.0)
    if bool(values.any()) and not bool(out.any()):
        raise InputError(f"{name}: expected labels inside of {image.meta['filename_or_obj']}, got none that lie there")
    return out

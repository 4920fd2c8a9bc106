"""What the papers do to their images before training: brain mask, intensity window, crop, resize; and label values."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from common.data.label_sets import remap
from common.errors import InputError
from common.images import read_volume, save_volume


@dataclass(frozen=True)
class Preparation:
    """What is done to each subject's volumes, in this order.

    Attributes:
        mask: glob patterns of brain masks with commas between them; outside of any of them an image has its least
            value (SR-Reg: the mask of the MR times that of the CT).
        windows: modality -> least and greatest intensity; what lies beyond is cut off (a CT in Hounsfield units).
        crop: voxels along the three axes of a box around the middle of the first image's foreground, kept inside of the
            volume where that is larger (PSMamba-Net's preparation).
        resize: voxels along the three axes onto which the box is brought: linearly, labels by the nearest.
    """

    mask: str = ""
    windows: Mapping[str, Sequence[float]] = field(default_factory=dict)
    crop: Sequence[int] | None = None
    resize: Sequence[int] | None = None

    def __post_init__(self) -> None:
        for name, size in (("crop", self.crop), ("resize", self.resize)):
            if size is not None and (len(size) != 3 or not all(isinstance(n, int) and n > 0 for n in size)):
                raise InputError(f"{name}: expected three numbers of voxels, got {size}")
        for modality, window in self.windows.items():
            if len(window) != 2 or window[0] >= window[1]:
                raise InputError(f"window of {modality}: expected the least and the greatest value, got {window}")

    @property
    def masks(self) -> list[str]:
        """The glob patterns of the masks."""
        return [pattern.strip() for pattern in self.mask.split(",") if pattern.strip()]


def prepare(
    subjects: Sequence[Mapping[str, Path]], table: Mapping[int, int], how: Preparation, folder: Path
) -> list[dict[str, str]]:
    """Write the subjects' label maps with the values of ``table``, and their images where anything is done to them.

    What is cropped or resized has no place in the world any more: it gets voxels of the file's size, or of 1 mm where
    it is resized, and one origin for all subjects, as in the authors' arrays.

    Args:
        subjects: files by modality, ``label`` and ``mask0``, ``mask1`` .. for the masks.
        table: source value -> value of a structure.
        how: what is done.
        folder: where to; ``s001_t1.nii.gz`` and so on.

    Returns:
        The datalist's training items: ``id`` and a path for each modality and ``label``.

    Raises:
        InputError: a file cannot be read, or a subject's volumes are not on one grid.
    """
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for number, subject in enumerate(subjects, 1):
        name = f"s{number:03d}"
        item = {key: str(path) for key, path in subject.items() if not re.fullmatch(r"mask\d+", key)}
        volumes, affine = _prepared(subject, table, how)
        for key, voxels in volumes.items():
            item[key] = str(folder / f"{name}_{key}.nii.gz")
            save_volume(voxels, affine, Path(item[key]), voxels.dtype)
        items.append({"id": name, **item})
    return items


def _prepared(
    subject: Mapping[str, Path], table: Mapping[int, int], how: Preparation
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float64]]:
    """The volumes of a subject that are written, in RAS order, and their affine."""
    untouched = not (how.mask or how.windows or how.crop or how.resize)
    read = {key: read_volume(path, key) for key, path in subject.items() if key == "label" or not untouched}
    if untouched:
        return {"label": remap(read["label"].voxels, table)}, np.asarray(read["label"].affine, np.float64)
    ras = {key: volume.in_ras() for key, volume in read.items()}
    shapes = {key: volume.voxels.shape for key, volume in ras.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(f"{subject['label']}: expected a subject's volumes on one grid, got the shapes {shapes}")
    affine = np.asarray(ras["label"].affine, np.float64)
    images = {
        key: v.voxels.astype(np.float32) for key, v in ras.items() if key != "label" and not key.startswith("mask")
    }
    for key, image in images.items():
        _limit(image, [ras[name].voxels > 0 for name in ras if name.startswith("mask")], how.windows.get(key))
    volumes: dict[str, NDArray[Any]] = {**images, "label": remap(ras["label"].voxels, table)}
    if how.crop:
        corner = box_corner(next(iter(images.values())), how.crop)
        volumes = {key: _boxed(volume, corner, how.crop) for key, volume in volumes.items()}
    if how.resize:
        size = how.resize
        volumes = {k: resized(torch.from_numpy(v), size, k == "label").numpy() for k, v in volumes.items()}
    if how.crop or how.resize:
        affine = np.diag([*([1.0] * 3 if how.resize else ras["label"].grid.spacing), 1.0])
    return volumes, affine


def _limit(image: NDArray[np.float32], masks: Sequence[NDArray[np.bool_]], window: Sequence[float] | None) -> None:
    """Cut an image's intensities to a window and, outside of any mask, to the least value, in place."""
    if window:
        np.clip(image, window[0], window[1], out=image)
    low = image.min()
    for mask in masks:
        image[~mask] = low


def box_corner(image: NDArray[Any], size: Sequence[int]) -> list[int]:
    """Return the corner of a box around the middle between the first and last voxel above the image's least value.

    >>> image = np.zeros((10, 10, 10))
    >>> image[2:5, 0, 9] = 1
    >>> box_corner(image, (3, 4, 12))
    [2, 0, -1]
    """
    foreground = np.argwhere(image > image.min())
    middle = (foreground.min(0) + foreground.max(0) + 1) / 2
    corner = [int(m - n / 2) for m, n in zip(middle, size, strict=True)]
    room = [have - want for have, want in zip(image.shape, size, strict=True)]
    return [min(max(c, 0), r) if r >= 0 else r // 2 for c, r in zip(corner, room, strict=True)]


def _boxed(volume: NDArray[Any], corner: Sequence[int], size: Sequence[int]) -> NDArray[Any]:
    """A box of a volume, its least value where it reaches outside."""
    box = np.full(size, volume.min(), volume.dtype)
    inside = [(max(c, 0), min(c + n, have)) for c, n, have in zip(corner, size, volume.shape, strict=True)]
    target = tuple(slice(a - c, b - c) for (a, b), c in zip(inside, corner, strict=True))
    box[target] = volume[tuple(slice(a, b) for a, b in inside)]
    return box


def resized(volume: Tensor, size: Sequence[int], label: bool) -> Tensor:
    """Return a volume (X, Y, Z) over the same extent on another number of voxels: linear, of labels the nearest."""
    how: dict[str, Any] = {"mode": "nearest-exact"} if label else {"mode": "trilinear", "align_corners": False}
    return F.interpolate(volume[None, None].float(), size=list(size), **how)[0, 0].to(volume.dtype)

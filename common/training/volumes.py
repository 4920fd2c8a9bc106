"""Training volumes in memory: read once, RAS order, one grid and one window for all, eight bits a voxel.

Training needs every subject many times and all of them on one grid, so that a pair is two array look-ups. The subjects
have to be affinely aligned to one space beforehand, as the kit and the public sets (OASIS, IXI, SR-Reg) are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from common.data.datalist import folder_of, read_section, resolve
from common.errors import InputError
from common.images import read_volume
from common.training.grid import TrainingGrid


@dataclass
class Subject:
    """One person: images and labels on the training grid.

    Attributes:
        name: identifier of the datalist.
        images: modality -> (X, Y, Z) uint8, 255 is the top of the intensity range.
        label: (X, Y, Z) uint8, or ``None``.
    """

    name: str
    images: dict[str, Tensor]
    label: Tensor | None

    @property
    def shape(self) -> tuple[int, ...]:
        """(X, Y, Z)."""
        return tuple(next(iter(self.images.values())).shape)

    def to(self, device: torch.device) -> "Subject":
        """Return the subject with its volumes on a device."""
        images = {key: image.to(device) for key, image in self.images.items()}
        return Subject(self.name, images, None if self.label is None else self.label.to(device))


def read_ras(path: Path) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Read a volume in RAS array order; return (X, Y, Z) voxels and the spacing in mm."""
    volume = read_volume(path, "training").in_ras()
    x, y, z = volume.grid.spacing.tolist()
    return volume.voxels, (x, y, z)


def to_bytes(image: Tensor, path: Path) -> Tensor:
    """Scale an image to 0..255 by its least and greatest value on the training grid, as inference does."""
    if not torch.isfinite(image).all():
        raise InputError(f"{path}: expected finite intensities, got NaN or infinity")
    low, high = float(image.min()), float(image.max())
    if high <= low:
        raise InputError(f"{path}: expected an image, got the constant {low}")
    return ((image - low) / (high - low) * 255.0).round().to(torch.uint8)


def block_factor(have: Sequence[float], want: float, path: Path) -> int:
    """Return how many voxels make one of the training grid; only whole numbers keep labels exact."""
    factors = {round(want / s) for s in have}
    if len(factors) != 1 or any(abs(want / s - round(want / s)) > 0.02 for s in have) or min(factors) < 1:
        raise InputError(f"{path}: a training grid of {want} mm needs voxels of a whole fraction of it, got {have} mm")
    return factors.pop()


def shrink(volume: Tensor, factor: int, label: bool) -> Tensor:
    """Join blocks of ``factor``^3 voxels: mean of an image, most frequent index of a label map."""
    if factor == 1:
        return volume
    padding = [p for n in reversed(volume.shape) for p in (0, -n % factor)]
    padded = F.pad(volume, padding)
    x, y, z = (n // factor for n in padded.shape)
    blocks = padded.view(x, factor, y, factor, z, factor).permute(0, 2, 4, 1, 3, 5).reshape(x, y, z, -1)
    if label:
        return blocks.mode(dim=-1).values
    return blocks.mean(dim=-1)


def load_volume(path: Path, spacing: float, label: bool) -> Tensor:
    """Read one file and bring it to ``spacing`` mm: (X, Y, Z) uint8 in RAS order."""
    voxels, zooms = read_ras(path)
    if label:
        if voxels.min() < 0 or voxels.max() > 255 or np.any(voxels != np.round(voxels)):
            raise InputError(f"{path}: expected label indices 0..255, got {voxels.min()}..{voxels.max()}")
        volume = torch.from_numpy(np.ascontiguousarray(voxels.astype(np.uint8)))
    else:
        volume = torch.from_numpy(np.ascontiguousarray(voxels.astype(np.float32)))
    volume = shrink(volume, block_factor(zooms, spacing, path), label)
    return volume if label else to_bytes(volume, path)


def load_subjects(datalist: str, modalities: Sequence[str], grid: TrainingGrid) -> list[Subject]:
    """Load the subjects of a datalist's ``training`` section.

    Args:
        datalist: JSON file; each training item has an ``id``, a file for each modality, and mostly a ``label``.
        modalities: keys of the images to load, such as ``["t1", "ct"]``.
        grid: the training grid; its spacing is a whole multiple of the files'.

    Raises:
        InputError: a file is missing or unusable, or the volumes are not on one grid.
    """
    items = read_section(datalist, "training")
    volumes: list[dict[str, Tensor]] = []
    for item in items:
        missing = [key for key in modalities if key not in item]
        if missing:
            raise InputError(
                f"{datalist}: training item {item.get('id')} has no {missing}, expected {list(modalities)}"
            )
        volumes.append(_load(datalist, item, [*modalities, "label"], grid))
    _same_shape(datalist, [v for entry in volumes for v in entry.values()])
    start = grid.start_around([entry[modalities[0]] for entry in volumes])
    framed = [{key: grid.framed(v, start) for key, v in entry.items()} for entry in volumes]
    return [
        Subject(str(item.get("id")), {m: entry[m] for m in modalities}, entry.get("label"))
        for item, entry in zip(items, framed, strict=True)
    ]


def load_pairs(datalist: str, grid: TrainingGrid, section: str = "validation") -> list[dict[str, Any]]:
    """Load the pairs of a section: ``image`` (2, X, Y, Z) in [0, 1], labels (1, X, Y, Z) and ``kind`` of each.

    Raises:
        InputError: as ``load_subjects``; a pair without labels, which score it.
    """
    sides = ("moving", "fixed", "moving_label", "fixed_label")
    pairs = []
    for number, item in enumerate(read_section(datalist, section)):
        missing = [key for key in sides if key not in item]
        if missing:
            raise InputError(f"{datalist}: {section} pair {number} has no {missing}, expected {list(sides)}")
        volumes = _load(datalist, item, sides, grid)
        _same_shape(datalist, list(volumes.values()))
        start = grid.start_around([volumes["moving"], volumes["fixed"]])
        framed = {key: grid.framed(v, start) for key, v in volumes.items()}
        pair: dict[str, Any] = {key: v[None] for key, v in framed.items() if key.endswith("label")}
        pair["image"] = torch.stack([framed["moving"], framed["fixed"]]).float() / 255.0
        pair["kind"] = item.get("kind", "")
        pairs.append(pair)
    return pairs


def _load(datalist: str, item: Mapping[str, Any], keys: Sequence[str], grid: TrainingGrid) -> dict[str, Tensor]:
    return {
        key: load_volume(resolve(folder_of(datalist), item[key]), grid.spacing, key.endswith("label"))
        for key in keys
        if key in item
    }


def _same_shape(datalist: str, volumes: Sequence[Tensor]) -> None:
    shapes = {tuple(v.shape) for v in volumes}
    if len(shapes) > 1:
        raise InputError(
            f"{datalist}: expected volumes on one grid (align them first), got the shapes {sorted(shapes)}"
        )

"""Training volumes in memory: read once, RAS order, one grid and one window for all, eight bits a voxel.

Training needs every subject many times and all of them on one grid, so that a pair is two array look-ups. The subjects
have to be affinely aligned to one space beforehand, as the kit and the public sets (OASIS, IXI, SR-Reg) are. The
papers' code holds floats: eight bits add a rounding of at most 1/510 of an image's range.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from common.data.datalist import folder_of, read_section, resolve
from common.data.preparation import resized
from common.errors import InputError
from common.geometry import Grid, corner_distance
from common.images import read_volume
from common.training.grid import Frame, TrainingGrid

logger = logging.getLogger(__name__)

PAIR_KEYS = ("moving", "fixed", "moving_label", "fixed_label")


@dataclass(frozen=True)
class Place:
    """Where volumes on the training grid lie in their files' own.

    Attributes:
        frame: the window that was taken.
        whole: (X, Y, Z), voxels of the whole volume at the training grid's spacing.
        spacing: sides of a voxel in mm.
    """

    frame: Frame
    whole: tuple[int, int, int]
    spacing: tuple[float, ...]


@dataclass
class Subject:
    """One person: images and labels on the training grid.

    Attributes:
        name: identifier of the datalist.
        images: modality -> (X, Y, Z) uint8, 255 is the top of the intensity range.
        label: (X, Y, Z) uint8, or ``None``.
        place: where they were taken from, for what is stored on the files' grid; ``None`` where that is not known.
    """

    name: str
    images: dict[str, Tensor]
    label: Tensor | None
    place: Place | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(X, Y, Z)."""
        return tuple(next(iter(self.images.values())).shape)

    def to(self, device: torch.device) -> "Subject":
        """Return the subject with its volumes on a device."""
        images = {key: image.to(device) for key, image in self.images.items()}
        return replace(self, images=images, label=None if self.label is None else self.label.to(device))


@dataclass(frozen=True)
class Volume:
    """A volume on the training grid's spacing, and where its file lies.

    Attributes:
        voxels: (X, Y, Z) uint8 in RAS order.
        file: grid of the file in RAS order.
    """

    voxels: Tensor
    file: Grid


def to_bytes(image: Tensor, path: Path) -> Tensor:
    """Scale an image to 0..255 by its least and greatest value on the training grid, as inference does."""
    if not torch.isfinite(image).all():
        raise InputError(f"{path}: expected finite intensities, got NaN or infinity")
    low, high = float(image.min()), float(image.max())
    if high <= low:
        raise InputError(f"{path}: expected an image, got the constant {low}")
    return ((image - low) / (high - low) * 255.0).round().to(torch.uint8)


def block_factors(have: Sequence[float], want: Sequence[float]) -> tuple[int, ...] | None:
    """Return how many voxels along each axis make one of the training grid; ``None`` where that is no whole number."""
    factors = tuple(round(w / h) for h, w in zip(have, want, strict=True))
    whole = all(n >= 1 and abs(w / h - n) <= 0.02 for h, w, n in zip(have, want, factors, strict=True))
    return factors if whole else None


def shrink(volume: Tensor, factors: Sequence[int], label: bool) -> Tensor:
    """Join blocks of so many voxels along each axis: mean of an image, most frequent index of a label map."""
    if max(factors) == 1:
        return volume
    padding = [p for n, f in reversed(list(zip(volume.shape, factors, strict=True))) for p in (0, -n % f)]
    padded = F.pad(volume, padding)
    (x, y, z), (a, b, c) = (n // f for n, f in zip(padded.shape, factors, strict=True)), factors
    blocks = padded.view(x, a, y, b, z, c).permute(0, 2, 4, 1, 3, 5).reshape(x, y, z, -1)
    if label:
        return blocks.mode(dim=-1).values
    return blocks.mean(dim=-1)


def load_volume(path: Path, grid: TrainingGrid, label: bool) -> Volume:
    """Read one file and bring it to a grid's spacing.

    Where the spacing is a whole multiple of the file's, blocks of voxels are joined, which keeps labels exact;
    otherwise (VMambaMorph's 128 voxels on axes of 176, 208 and 192) images are read linearly, labels by the nearest.

    Returns:
        (X, Y, Z) uint8 in RAS order, and the file's grid in that order.

    Raises:
        InputError: the file cannot be read, its voxels are not what they should be, or coarser than the grid's.
    """
    file = read_volume(path, "training").in_ras()
    voxels, have = file.voxels, file.grid.spacing.tolist()
    if label and (voxels.min() < 0 or voxels.max() > 255 or np.any(voxels != np.round(voxels))):
        raise InputError(f"{path}: expected label indices 0..255, got {voxels.min()}..{voxels.max()}")
    volume = torch.from_numpy(np.ascontiguousarray(voxels.astype(np.uint8 if label else np.float32)))
    factors = block_factors(have, grid.voxel)
    if factors is not None:
        volume = shrink(volume, factors, label)
    elif any(w < 0.98 * h for w, h in zip(grid.voxel, have, strict=True)):
        finest = [round(side, 3) for side in have]
        raise InputError(f"{path}: a training grid of {list(grid.voxel)} mm is finer than the file's {finest} mm")
    else:
        size = [round(n * h / w) for n, h, w in zip(volume.shape, have, grid.voxel, strict=True)]
        volume = resized(volume, size, label)
    return Volume(volume if label else to_bytes(volume, path), file.grid)


def load_subjects(
    datalist: str, modalities: Sequence[str], grid: TrainingGrid, aligned_by: str = "world"
) -> list[Subject]:
    """Load the subjects of a datalist's ``training`` section.

    Args:
        datalist: JSON file; each training item has an ``id``, a file for each modality, and mostly a ``label``.
        modalities: keys of the images to load, such as ``["t1", "ct"]``.
        grid: the training grid.
        aligned_by: see ``check_alignment``.

    Raises:
        InputError: a file is missing or unusable, or the volumes are not on one grid.
    """
    items = read_section(datalist, "training")
    loaded: list[dict[str, Volume]] = []
    for item in items:
        missing = [key for key in modalities if key not in item]
        if missing:
            raise InputError(
                f"{datalist}: training item {item.get('id')} has no {missing}, expected {list(modalities)}"
            )
        loaded.append(_load(datalist, item, [*modalities, "label"], grid))
    check_alignment(
        {f"{item.get('id')}'s {key}": v for item, row in zip(items, loaded, strict=True) for key, v in row.items()},
        datalist,
        aligned_by,
    )
    frame = grid.around([row[modalities[0]].voxels for row in loaded])
    _tell(grid, frame)
    framed = [{key: frame.of(v.voxels) for key, v in row.items()} for row in loaded]
    x, y, z = loaded[0][modalities[0]].voxels.shape
    place = Place(frame, (x, y, z), grid.voxel)
    return [
        Subject(str(item.get("id")), {m: row[m] for m in modalities}, row.get("label"), place)
        for item, row in zip(items, framed, strict=True)
    ]


def check_alignment(volumes: Mapping[str, Volume], datalist: str, aligned_by: str = "world") -> None:
    """Make sure that volumes lie on one grid: a network is trained on arrays and never sees where a header puts them.

    Args:
        volumes: by what the error calls them.
        datalist: named in the error.
        aligned_by: ``world``: headers have to agree to half a voxel. ``arrays``: shapes have to agree, and headers do
            not count.

    Raises:
        InputError: they do not, or another word.
    """
    if aligned_by not in ("world", "arrays"):
        raise InputError(f"aligned_by: expected world or arrays, got {aligned_by!r}")
    if len({tuple(v.voxels.shape) for v in volumes.values()}) > 1:
        shapes = sorted({tuple(v.voxels.shape) for v in volumes.values()})
        raise InputError(f"{datalist}: expected volumes on one grid (align them first), got the shapes {shapes}")
    (first, reference), *others = volumes.items()
    for name, volume in others if aligned_by == "world" else ():
        apart = corner_distance(reference.file, volume.file)
        if apart > 0.5 * float(volume.file.spacing.min()):
            raise InputError(
                f"{datalist}: {name} lies {apart:.1f} mm away from {first} by its header: expected volumes on one "
                "grid; resample it or, if its header means nothing, take --aligned_by arrays"
            )


def _tell(grid: TrainingGrid, frame: Frame) -> None:
    sides, chosen = " x ".join(str(n) for n in frame.size), ", chosen from the data" if grid.size is None else ""
    logger.info("training grid: %s voxels of %s mm%s", sides, " x ".join(f"{s:g}" for s in grid.voxel), chosen)


class ValidationPairs(Sequence[dict[str, Any]]):
    """The pairs of a section, each put together when it is asked for; a file of many pairs is held once.

    Items are ``image`` (2, X, Y, Z) in [0, 1], ``moving_label`` and ``fixed_label`` (1, X, Y, Z), and ``kind``.
    """

    def __init__(self, pairs: Sequence[tuple[Mapping[str, Volume], Frame, str]]) -> None:
        self.pairs = list(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: Any) -> Any:
        volumes, frame, kind = self.pairs[index]
        framed = {key: frame.of(volume.voxels) for key, volume in volumes.items()}
        labels = {key: framed[key][None] for key in ("moving_label", "fixed_label")}
        return {**labels, "image": torch.stack([framed["moving"], framed["fixed"]]).float() / 255.0, "kind": kind}


def load_pairs(
    datalist: str, grid: TrainingGrid, section: str = "validation", aligned_by: str = "world"
) -> ValidationPairs:
    """Load the pairs of a section.

    Raises:
        InputError: as ``load_subjects``; a pair without labels, which score it.
    """
    pairs: list[tuple[Mapping[str, Volume], Frame, str]] = []
    known: dict[tuple[str, bool], Volume] = {}
    for number, item in enumerate(read_section(datalist, section)):
        missing = [key for key in PAIR_KEYS if key not in item]
        if missing:
            raise InputError(f"{datalist}: {section} pair {number} has no {missing}, expected {list(PAIR_KEYS)}")
        volumes = _load(datalist, item, PAIR_KEYS, grid, known)
        check_alignment({f"{section} pair {number}'s {key}": v for key, v in volumes.items()}, datalist, aligned_by)
        frame = grid.around([volumes["moving"].voxels, volumes["fixed"].voxels])
        pairs.append((volumes, frame, str(item.get("kind", ""))))
    return ValidationPairs(pairs)


def _load(
    datalist: str,
    item: Mapping[str, Any],
    keys: Sequence[str],
    grid: TrainingGrid,
    known: dict[tuple[str, bool], Volume] | None = None,
) -> dict[str, Volume]:
    """The volumes of an item by key; what is read is kept in ``known``."""
    known, found = {} if known is None else known, {}
    for key in (key for key in keys if key in item):
        file = (item[key], key.endswith("label"))
        if file not in known:
            known[file] = load_volume(resolve(folder_of(datalist), item[key]), grid, file[1])
        found[key] = known[file]
    return found

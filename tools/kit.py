"""``python -m tools kit FOLDER``: a training kit of the shipped sample, or of label maps that a user has."""

import glob
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.data.augment import deform, random_deformation
from common.data.label_sets import find_label_set, remap
from common.data.synthesis import render
from common.errors import InputError
from common.images import read_volume, save_volume
from common.sample import sample_pair
from common.training.grid import TrainingGrid
from common.training.volumes import Volume, block_factors, load_volume, shrink
from common.writing import save_json

#: Structures of the sample's tissue map: FreeSurfer number -> name; CSF lies on both sides of the middle.
TISSUES = {2: "left white matter", 3: "left cortex", 24: "CSF", 41: "right white matter", 42: "right cortex"}
KNOTS_MM = (32.0, 64.0, 128.0)  # of the deformations that make further subjects
STRENGTH_MM = 6.0


def kit(
    folder: str, label: str = "", labels: str = "freesurfer_30", subjects: int = 0, spacing: float = 2.0, seed: int = 0
) -> None:
    """Make subjects with a T1-like and a CT-like image and a label map, and the datalist that trains on them.

    Without label maps the subjects are random diffeomorphisms of the sample's T1 image, whose three tissues are found
    by their intensities: enough to see every command run, not to train a network that is of use.

    Args:
        folder: where to; datalist_2mm.json is the list, for the spacing that is asked for.
        label: glob pattern of label maps with FreeSurfer's numbers (aseg, SynthSeg), affinely aligned, on one grid.
        labels: the structures that count, by name (docs/data.md): one of FreeSurfer's.
        subjects: how many; without, as many as there are label maps, or 10. More are deformed copies.
        spacing: mm of the kit's voxels.
        seed: of everything random.
    """
    names: Mapping[int, str] = find_label_set(labels).names if label else TISSUES
    maps = sorted(glob.glob(label, recursive=True))
    if label and not maps:
        raise InputError(f"label: expected label maps like {label}, found none")
    count = subjects or len(maps) or 10
    if count < 4:
        raise InputError(f"a kit needs at least 4 subjects, two of which validate, got {count}")
    target = Path(folder)
    (target / "volumes").mkdir(parents=True, exist_ok=True)
    items = [
        _write(target, f"s{n + 1:02d}", volumes, affine)
        for n, (volumes, affine) in enumerate(_subjects(maps, labels, count, spacing, seed))
    ]
    path = target / f"datalist_{spacing:g}mm.json"
    content = {
        "name": "kit",
        "labels": {"0": "background", **{str(value): name for value, name in names.items()}},
        "freesurfer_ids": {"0": 0, **{str(value): value for value in names}},
        "training": items[:-2],
        "validation": _pairs(items[-2:]),
    }
    save_json(content, path)
    print(f"{path}: {count - 2} training subjects, 4 validation pairs, {len(names)} structures, {spacing:g} mm")


def _subjects(
    maps: list[str], labels: str, count: int, spacing: float, seed: int
) -> Iterator[tuple[dict[str, Tensor], np.ndarray]]:
    """T1, CT (X, Y, Z) in [0, 1], label map and affine of each subject."""
    known = [_tissues(spacing)] if not maps else []
    for number in range(count):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        if maps:
            image, index, affine = None, *_labelled(Path(maps[number % len(maps)]), labels, spacing)
        else:
            image, index, affine = known[0]
        if not maps or number >= len(maps):
            knots = [mm / spacing for mm in KNOTS_MM]
            field = random_deformation(index.shape, STRENGTH_MM / spacing, generator, knots)
            moved, index = deform(image[None] if image is not None else torch.zeros(1, *index.shape), index, field)
            image = moved[0] if image is not None else None
        inside = index > 0
        t1 = image if image is not None else _rendered(index, "t1", generator)
        yield {"t1": t1 * inside, "ct": _rendered(index, "ct", generator) * inside, "label": index}, affine


def _rendered(index: Tensor, contrast: str, generator: torch.Generator) -> Tensor:
    """An image of a map whose values are FreeSurfer's numbers."""
    present = set(index.unique().tolist())
    numbers = [n if n in present else 0 for n in range(int(index.max()) + 1)]
    return render(index, contrast, generator, numbers, low_resolution=0.0)[0]


def _tissues(spacing: float) -> tuple[Tensor, Tensor, np.ndarray]:
    """The sample's T1 in [0, 1], its tissues as FreeSurfer's numbers, and their affine."""
    volume = load_volume(Path(sample_pair()["fixed"]), TrainingGrid(spacing, None), label=False)
    image, affine = volume.voxels.float() / 255, _affine(volume)
    values = image[image > 0.02]
    centres = torch.quantile(values, torch.tensor([0.1, 0.5, 0.9]))
    for _ in range(20):  # k-means of the intensities: CSF, grey, white
        nearest = (values[:, None] - centres).abs().argmin(1)
        centres = torch.stack([values[nearest == k].mean() for k in range(3)])
    tissue = (image[..., None] - centres).abs().argmin(-1)
    right = (torch.arange(image.shape[0]) * affine[0, 0] + affine[0, 3] > 0)[:, None, None]
    sides = [torch.where(right, there, here) for here, there in ((24, 24), (3, 42), (2, 41))]
    index = torch.stack([side.expand(image.shape) for side in sides]).gather(0, tissue[None])[0]
    return image, torch.where(image > 0.02, index, 0).to(torch.uint8), affine


def _labelled(path: Path, labels: str, spacing: float) -> tuple[Tensor, np.ndarray]:
    """A label map with the values of a label set at a spacing, and its affine."""
    file = read_volume(path, "label").in_ras()
    factors = block_factors(file.grid.spacing.tolist(), (spacing,) * 3)
    if factors is None:
        raise InputError(
            f"{path}: a kit of {spacing:g} mm needs voxels of a whole fraction, got {file.grid.spacing} mm"
        )
    values = torch.from_numpy(remap(file.voxels, find_label_set(labels).table))
    return shrink(values, factors, label=True), _affine(Volume(values, file.grid), factors)


def _affine(volume: Volume, factors: tuple[int, ...] | None = None) -> np.ndarray:
    """Affine of blocks of voxels of a file: their centres are the blocks'."""
    blocks = np.array(
        factors or [round(a / b) for a, b in zip(volume.file.shape, volume.voxels.shape, strict=True)], float
    )
    affine = volume.file.affine @ np.diag([*blocks, 1.0])
    affine[:3, 3] += volume.file.affine[:3, :3] @ ((blocks - 1) / 2)
    return affine


def _write(target: Path, name: str, volumes: Mapping[str, Tensor], affine: np.ndarray) -> dict[str, str]:
    item = {"id": name}
    for key, volume in volumes.items():
        item[key] = f"volumes/{name}_{key}.nii.gz"
        voxels = volume if key == "label" else (255 * volume.clamp(0, 1)).round()
        save_volume(voxels.numpy(), affine, target / item[key], np.uint8)
    return item


def _pairs(items: list[dict[str, str]]) -> list[dict[str, str]]:
    """Both directions of two subjects, T1 to T1 and T1 to CT."""
    return [
        {
            "moving": moving["t1"],
            "fixed": fixed[kind],
            "moving_label": moving["label"],
            "fixed_label": fixed["label"],
            "kind": f"T1-{kind.upper()}",
        }
        for kind in ("t1", "ct")
        for moving, fixed in (items, items[::-1])
    ]

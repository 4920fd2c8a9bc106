"""``python -m tools teach``: fields for networks to learn from, found by refining pairs of training subjects."""

import hashlib
import time
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.data.datalist import folder_of, read_section, resolve
from common.errors import InputError
from common.images import read_volume
from common.refine import Options, Pair, refine
from common.spatial import jacobian_determinant, sd_log_jacobian
from common.training.teacher_fields import TeacherFolder, smaller
from common.training.volumes import block_factors
from common.writing import check_writable


def teach(
    datalist: Path,
    output: Path,
    spacing: float = 2.0,
    pairs: int = 0,
    modality: str = "t1",
    preset: str = "accurate",
    seed: int = 0,
    resume: bool = False,
) -> None:
    """Register ordered pairs of training subjects by refinement alone and keep the fields for training.

    A pair takes 10 to 20 CPU seconds at 1 mm. Train with --teacher_fields OUTPUT (docs/weights.md). A folder that was
    interrupted goes on with --resume.

    Args:
        datalist: whose training section names the subjects; its files' voxels are those that are registered.
        output: where to: a file a pair, and index.json.
        spacing: mm of the stored fields' voxels, a whole multiple of the files'; training can be at multiples of it.
        pairs: how many, of all ordered pairs in the seed's order; 0 for all.
        modality: key of the images; one that shows the anatomy best.
        preset: of the refinement, fast or accurate.
        seed: of the order.
        resume: go on with a folder of the same images and options.

    Raises:
        InputError: the images do not lie on one grid, or the folder holds the fields of something else.
    """
    if preset not in ("fast", "accurate"):
        raise InputError(f"preset: expected fast or accurate, got {preset!r}")
    files = _files(datalist, modality)
    facts = {
        "spacing": spacing,
        "images": {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()},
        "options": {"modality": modality, "preset": preset, "start": "the alignment alone"},
    }
    stored = _opened(check_writable(output), facts, resume)
    wanted = ordered_pairs(list(files), seed)[: pairs or None]
    images = {name: _image(path, spacing) for name, path in files.items()}
    if len({image.shape for image, _ in images.values()}) > 1:
        shapes = sorted({tuple(image.shape) for image, _ in images.values()})
        raise InputError(f"{datalist}: expected {modality} images on one grid, got the shapes {shapes}")
    for number, (moving, fixed) in enumerate(wanted, 1):
        if f"{moving} {fixed}" in stored.fields:
            continue
        ddf, record = found(images[moving][0], images[fixed][0], preset)
        stored.add(moving, fixed, smaller(ddf, images[fixed][1]), record)
        print(f"{number} of {len(wanted)}: {moving} to {fixed}, {record['cpu_seconds']:.0f} CPU s", flush=True)
    print(f"{len(stored.fields)} fields in {stored.folder}")


def ordered_pairs(names: Sequence[str], seed: int) -> list[tuple[str, str]]:
    """All ordered pairs of two names, in an order of the seed."""
    every = list(permutations(names, 2))
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(seed))
    return [every[place] for place in order.tolist()]


def found(moving: Tensor, fixed: Tensor, preset: str) -> tuple[Tensor, dict[str, Any]]:
    """Refine from the alignment alone.

    Args:
        moving: (X, Y, Z) in [0, 1].
        fixed: likewise.
        preset: of ``common.refine.Options``.

    Returns:
        The field (3, X, Y, Z) in voxels, and what is worth knowing of it.
    """
    began = time.process_time()
    refined = refine(Pair(moving[None, None], fixed[None, None]), None, Options(preset, start="affine"))
    record = {
        "sd_log_jacobian": round(float(sd_log_jacobian(jacobian_determinant(refined.ddf), (fixed > 0)[None, None])), 4),
        "smallest_determinant": round(refined.record.smallest_determinant, 4),
        "cpu_seconds": round(time.process_time() - began, 1),
    }
    return refined.ddf[0], record


def _files(datalist: Path, modality: str) -> dict[str, Path]:
    items = read_section(datalist, "training")
    missing = [str(item.get("id")) for item in items if modality not in item or "id" not in item]
    if missing or len(items) < 2:
        raise InputError(
            f"{datalist}: expected two training subjects or more with id and {modality}, "
            f"got {len(items)}, without them {missing}"
        )
    return {str(item["id"]): resolve(folder_of(datalist), item[modality]) for item in items}


def _opened(folder: Path, facts: dict[str, Any], resume: bool) -> TeacherFolder:
    """The folder to add fields to: a new one, or one of the same images and options."""
    stored = TeacherFolder(folder)
    if stored.exists and not resume:
        raise InputError(f"{folder}: holds a teacher's fields: go on with them (--resume true) or name another folder")
    if stored.exists:
        other = [key for key, value in stored.read().facts.items() if facts.get(key) != value]
        if other:
            raise InputError(f"{folder}: expected fields of the same images and options, got other {', '.join(other)}")
    stored.facts = facts
    return stored


def _image(path: Path, spacing: float) -> tuple[Tensor, tuple[int, ...]]:
    """An image (X, Y, Z) in [0, 1] in RAS order, and how many of its voxels make one of the fields'."""
    file = read_volume(path, "training").in_ras()
    have = file.grid.spacing.tolist()
    factors = block_factors(have, (spacing,) * 3)
    if factors is None:
        raise InputError(f"{path}: fields at {spacing:g} mm need voxels of a whole fraction, got {have} mm")
    voxels = torch.from_numpy(np.ascontiguousarray(file.voxels, dtype=np.float32))
    return (voxels / voxels.max().clamp_min(1e-6)).clamp_min(0), factors

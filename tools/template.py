"""``python -m tools template``: the mean of many images, in shape and in intensity."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.data.datalist import folder_of, read_section, resolve
from common.errors import InputError
from common.geometry import Grid, lps_to_ddf, resample
from common.images import read_field, read_volume, save_volume
from common.machine import command_line
from common.spatial import invert, warp
from common.writing import check_writable, save_json, write_atomically
from tools.cohort.command import refuse_failures, register_all
from tools.cohort.state import Cohort, Pair
from tools.cohort.table import rows

#: Percentiles of an image's foreground that become 0 and 1, so that every subject weighs the same.
WINDOW = (1.0, 99.0)
TEMPLATE, RECORD = "template.nii.gz", "template.json"


def template(
    output_dir: Path,
    images: Sequence[str] = (),
    datalist: Path | None = None,
    key: str = "image",
    section: str = "training",
    iterations: int = 3,
    start: Path | None = None,
    bundle: str = "mambamorph",
    workers: int = 1,
    **options: Any,
) -> None:
    """Build the mean of images: its shape is the mean of theirs, its intensities the mean of the registered ones.

    Every iteration registers all images to the template, averages them there, and moves the average by the inverse of
    the mean displacement: the template lands in the middle of its subjects. Goes on where it was stopped.

    Args:
        output_dir: where to; ``iteration_N/NAME`` holds the registrations.
        images: two images or more, with commas between them.
        datalist: JSON whose entries name an image each, instead.
        key: of the image in an entry of the datalist, such as t1.
        section: of the datalist.
        iterations: 3 are enough for most; the mean displacement that is left is printed after each.
        start: the first template, whose grid all have; the mean of the images on the first one's grid without it.
        bundle: name or folder of the bundle.
        workers: processes.
        options: keys of inference.json, such as --refine fast.

    Raises:
        InputError: fewer than two images, or one that cannot be registered.
    """
    paths = _paths(images, datalist, key, section)
    folder = check_writable(output_dir)
    current = folder / "iteration_0" / TEMPLATE
    if not current.is_file():
        _write(_first(paths, start), current)
    remaining = []
    for number in range(1, iterations + 1):
        cohort = Cohort(folder / f"iteration_{number}", _pairs(paths, current))
        register_all(cohort, bundle, workers, True, False, {"outputs": "none", **options})
        refuse_failures(cohort, rows(cohort))
        mean, field, grid = _means(cohort)
        remaining.append(float(torch.linalg.vector_norm(field, dim=0).mean()) * float(grid.spacing.mean()))
        current = cohort.folder / TEMPLATE
        _write((_in_the_middle(mean, field), grid), current)
        print(f"iteration {number}: the template moved by {remaining[-1]:.2f} mm in the mean", flush=True)
    write_atomically(folder / TEMPLATE, lambda path: path.write_bytes(current.read_bytes()))
    record = {"images": paths, "moved_mm": remaining, "bundle": bundle, "options": options, "command": command_line()}
    save_json(record, folder / RECORD)
    print(f"written: {folder / TEMPLATE}")


def _paths(images: Sequence[str], datalist: Path | None, key: str, section: str) -> list[str]:
    if bool(images) == (datalist is not None):
        raise InputError("template: expected either images or a datalist")
    if datalist is not None:
        entries = read_section(datalist, section)
        lacking = [number for number, entry in enumerate(entries, 1) if not entry.get(key)]
        if lacking:
            known = ", ".join(entries[lacking[0] - 1])
            raise InputError(f"datalist {datalist}, entry {lacking[0]}: expected the key {key!r} (--key), got {known}")
        images = [str(resolve(folder_of(datalist), entry[key])) for entry in entries]
    paths = list(dict.fromkeys(str(Path(image).expanduser().absolute()) for image in images))
    if len(paths) < 2:
        raise InputError(f"template: expected two images or more, got {len(paths)}")
    return paths


def _pairs(paths: Sequence[str], fixed: Path) -> list[Pair]:
    """Every image onto the template, by names that stay the same from run to run."""
    return [
        {"fixed": str(fixed), "moving": path, "name": f"{number:04d}_{Path(path).name.partition('.')[0]}"}
        for number, path in enumerate(paths, 1)
    ]


def _first(paths: Sequence[str], start: Path | None) -> tuple[Tensor, Grid]:
    if start is not None:
        volume = read_volume(start, "start")
        return _scaled(volume.voxels), volume.grid
    grid = read_volume(paths[0], "image").grid
    total = torch.zeros(grid.shape)
    for path in paths:
        volume = read_volume(path, "image")
        total += resample(_scaled(volume.voxels)[None], volume.affine, grid)[0]
    return total / len(paths), grid


def _scaled(voxels: Any) -> Tensor:
    """Intensities with the darkest at 0 and nearly the brightest at 1; the background stays 0."""
    values = np.nan_to_num(np.asarray(voxels, np.float32))
    values = values - values.min()
    bright = values[values > 0]
    low, high = np.percentile(bright, WINDOW) if bright.size else (0.0, 1.0)
    return torch.from_numpy(np.clip(values / max(float(high), float(low) + 1e-6), 0, 1.2).astype(np.float32))


def _means(cohort: Cohort) -> tuple[Tensor, Tensor, Grid]:
    """Mean of the moved images (X, Y, Z), mean displacement (3, X, Y, Z) in voxels, and their grid."""
    grid = read_volume(cohort.pairs[0]["fixed"], "template").grid
    image, field = torch.zeros(grid.shape), torch.zeros(3, *grid.shape)
    for pair in cohort.pairs:
        folder = cohort.folder / pair["name"]
        image += _scaled(read_volume(folder / "moved.nii.gz", "moved").voxels)
        field += lps_to_ddf(read_field(folder / "warp.nii.gz")[0], grid.affine)
    return image / len(cohort.pairs), field / len(cohort.pairs), grid


def _in_the_middle(image: Tensor, field: Tensor) -> Tensor:
    """The image (X, Y, Z) seen from the mean shape: through the inverse of the mean displacement."""
    return warp(image[None, None], invert(field[None])[0])[0, 0]


def _write(template: tuple[Tensor, Grid], path: Path) -> None:
    values, grid = template
    write_atomically(path, lambda partial: save_volume(values.numpy(), grid.affine, partial))

"""The written files of one registration, read back for looking at: all in RAS order on the fixed image's grid."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common.errors import InputError
from common.geometry import Grid, lps_to_ddf, resample
from common.images import Volume, read_field, read_volume
from common.spatial import jacobian_determinant

#: Percentiles of an image's own intensities that are shown as black and white.
WINDOW = (0.5, 99.7)
#: Share of the window above which a voxel counts as something to look at.
SEEN = 0.1


@dataclass(frozen=True, eq=False)
class Result:
    """What there is to see of one registration; every array in RAS order, (X, Y, Z).

    Attributes:
        metrics: content of ``metrics.json``; empty where there is none.
        images: intensities in [0, 1] by name: ``fixed``, ``before`` (the moving image where its header puts it),
            ``aligned`` (where there was a linear alignment), ``moved``.
        labels: label indices by name: ``fixed``, ``before`` or ``aligned``, ``moved``, as far as they are known.
        ddf: (3, X, Y, Z), the total displacement in voxels.
        jacobian: determinants of ``ddf``.
        spacing: (3,), millimetres.
    """

    metrics: dict[str, Any]
    images: dict[str, NDArray]
    ddf: NDArray
    jacobian: NDArray
    spacing: NDArray
    labels: dict[str, NDArray] = field(default_factory=dict)

    @property
    def start(self) -> str:
        """Name of the images and labels that the deformation started from."""
        return "aligned" if "aligned" in self.images else "before"

    @cached_property
    def box(self) -> tuple[slice, slice, slice]:
        """The part of the grid that shows something in the fixed or in the moved image, with a margin of 5 %."""
        seen = np.argwhere((self.images["fixed"] > SEEN) | (self.images["moved"] > SEEN))
        if not len(seen):
            return tuple(slice(0, n) for n in self.images["fixed"].shape)  # type: ignore[return-value]
        first, last = seen.min(axis=0), seen.max(axis=0)
        margin = np.ceil(0.05 * (last - first)).astype(int)
        low, high = np.maximum(first - margin, 0), np.minimum(last + margin + 1, self.images["fixed"].shape)
        return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))  # type: ignore[return-value]

    @cached_property
    def centre(self) -> tuple[int, int, int]:
        """The voxel in the middle of what the fixed image shows."""
        seen = np.argwhere(self.images["fixed"] > SEEN)
        middle = (seen.min(axis=0) + seen.max(axis=0)) // 2 if len(seen) else np.array(self.images["fixed"].shape) // 2
        return int(middle[0]), int(middle[1]), int(middle[2])

    def millimetres(self) -> NDArray:
        """(3, X, Y, Z), the displacement along right, front and up (as nearly as the grid's axes run there)."""
        return self.ddf * self.spacing[:, None, None, None]


def read_result(
    folder: str | Path,
    fixed: str | Path | None = None,
    moving: str | Path | None = None,
    fixed_label: str | Path | None = None,
    moving_label: str | Path | None = None,
) -> Result:
    """Read the result of a registration.

    Args:
        folder: with ``moved.nii.gz`` and ``warp.nii.gz``, as a run leaves it.
        fixed: the fixed image; the one that ``metrics.json`` names without it, as with the others.
        moving: the moving image.
        fixed_label: its labels, optional.
        moving_label: its labels, optional.

    Raises:
        InputError: no such folder, or no result of a registration of this fixed image.
    """
    folder = Path(folder)
    metrics = _metrics(folder / "metrics.json")
    named = {"fixed": fixed, "moving": moving, "fixed_label": fixed_label, "moving_label": moving_label}
    paths = {key: Path(path or metrics[key]) for key, path in named.items() if path or metrics.get(key)}
    for key in ("fixed", "moving"):
        if key not in paths:
            raise InputError(f"{folder}: expected metrics.json to name the {key} image, got none: give --{key}")
    for name in ("moved", "warp"):
        if not (folder / f"{name}.nii.gz").is_file():
            raise InputError(f"{folder}: expected the result of a registration, got no {name}.nii.gz")
    volume = read_volume(paths["fixed"], "fixed")
    moved = _moved(folder, volume.grid, paths["fixed"])
    images = {"fixed": _shown(volume)} | _moving_images(volume.grid, paths["moving"], moved, _matrix(metrics))
    ddf = displacement_on(folder / "warp.nii.gz", volume)
    return Result(
        metrics, images, ddf, _jacobian(folder, ddf), volume.in_ras().grid.spacing,
        _labels(folder, volume.grid, paths, _matrix(metrics)),
    )  # fmt: skip


def read_images(folder: str | Path, fixed: str | Path) -> Result:
    """Only the fixed and the moved image of a registration, for what shows no field: a tenth of the reading.

    Raises:
        InputError: see ``read_result``.
    """
    volume = read_volume(fixed, "fixed")
    images = {"fixed": _shown(volume), "moved": _shown(_moved(Path(folder), volume.grid, Path(fixed)))}
    nothing = np.zeros((0, 0, 0), np.float32)
    return Result({}, images, nothing, nothing, volume.in_ras().grid.spacing)


def _metrics(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected what a registration wrote, got: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def _matrix(metrics: Mapping[str, Any]) -> NDArray | None:
    """The linear alignment, (4, 4) from the fixed image's world to the moving one's; None where there was none."""
    matrix = metrics.get("alignment", {}).get("matrix")
    return None if matrix is None or np.array_equal(matrix, np.eye(4)) else np.asarray(matrix, dtype=np.float64)


def _moved(folder: Path, grid: Grid, fixed: Path) -> Volume:
    moved = read_volume(folder / "moved.nii.gz", "moved")
    if moved.grid.shape != grid.shape:
        raise InputError(f"{folder}: expected the grid of {fixed}, {grid.shape}, got {moved.grid.shape}")
    return moved


def _moving_images(grid: Grid, path: Path, moved: Volume, matrix: NDArray | None) -> dict[str, NDArray]:
    """The moving image before, aligned and moved, in one window: that of its own intensities."""
    moving = read_volume(path, "moving")
    window, voxels = _window(moving.voxels), _tensor(moving)
    fill = window[0]
    found = {"before": resample(voxels, moving.affine, grid, fill=fill)[0].numpy()}
    if matrix is not None:
        found["aligned"] = resample(voxels, moving.affine, grid, fill=fill, alignment=matrix)[0].numpy()
    images = {name: _shown(Volume(values, grid.affine), window) for name, values in found.items()}
    return images | {"moved": _shown(moved, window)}


def _tensor(volume: Volume) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(volume.voxels, np.float32))[None]


def _window(voxels: NDArray) -> tuple[float, float]:
    """Black and white of an image: percentiles of its range, taken from what is not its darkest value."""
    values = np.asarray(voxels, np.float32)
    values = values[np.isfinite(values)]
    bright = values[values > values.min()] if len(values) else values
    if not len(bright):
        return 0.0, 1.0
    low = min(float(np.percentile(part, WINDOW[0])) for part in (bright, values))
    return low, max(float(np.percentile(bright, WINDOW[1])), low + 1e-6)


def _shown(volume: Volume, window: tuple[float, float] | None = None) -> NDArray:
    low, high = window or _window(volume.voxels)
    voxels = np.nan_to_num(np.asarray(volume.in_ras().voxels, np.float32))
    return np.clip((voxels - low) / (high - low), 0, 1)


def displacement_on(path: str | Path, fixed: Volume) -> NDArray:
    """A field's file as (3, X, Y, Z) in voxels of the fixed image's RAS grid; from another grid it is interpolated."""
    field, own = read_field(path)
    if own.shape != fixed.grid.shape or not np.allclose(own.affine, fixed.affine, atol=1e-3):
        field, own = resample(field, own.affine, fixed.grid, fill=None), fixed.grid
    turned = np.stack([Volume(component, own.affine).in_ras().voxels for component in field.numpy()])
    return lps_to_ddf(torch.from_numpy(turned), fixed.in_ras().affine).numpy()


def _jacobian(folder: Path, ddf: NDArray) -> NDArray:
    path = folder / "jacobian.nii.gz"
    if path.is_file():
        return np.asarray(read_volume(path, "jacobian").in_ras().voxels, np.float32)
    return jacobian_determinant(torch.from_numpy(ddf)[None])[0, 0].numpy()


def _labels(folder: Path, grid: Grid, paths: Mapping[str, Path], matrix: NDArray | None) -> dict[str, NDArray]:
    """Label maps as far as their files are there: a report is also made long after the images have been put away."""
    found: dict[str, Volume] = {}
    if "fixed_label" in paths and paths["fixed_label"].exists():
        found["fixed"] = read_volume(paths["fixed_label"], "fixed_label")
        if found["fixed"].grid.shape != grid.shape:
            raise InputError(
                f"fixed_label {paths['fixed_label']}: expected the shape of the fixed image, {grid.shape}, got "
                f"{found['fixed'].grid.shape}"
            )
    if "moving_label" in paths and paths["moving_label"].exists():
        label = read_volume(paths["moving_label"], "moving_label")
        start = resample(_tensor(label), label.affine, grid, "nearest", alignment=matrix)[0].numpy()
        found["before" if matrix is None else "aligned"] = Volume(start, grid.affine)
    if (folder / "moved_label.nii.gz").is_file():
        found["moved"] = read_volume(folder / "moved_label.nii.gz", "moved_label")
    volumes = {name: volume.in_ras().voxels for name, volume in found.items()}
    return {name: np.rint(voxels).astype(np.int32) for name, voxels in volumes.items()}

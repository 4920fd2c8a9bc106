"""Write what a registration gave: images, field, Jacobian and figures."""

import json
import time
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from torch import Tensor

from common.behind import Behind
from common.geometry import ddf_to_lps, lengths, resample
from common.images import read_field, save_field, save_volume
from common.machine import command_line, peak_memory_mb, versions
from common.registration.clock import stage
from common.registration.foreground import foreground_of
from common.registration.grids import grid_of, through
from common.registration.intensities import held, range_of
from common.registration.keys import PATH_KEYS
from common.registration.masks import counted_of, mask_writers
from common.registration.measures import (
    PROTOCOL,
    dice_figures,
    error_figures,
    field_figures,
    jacobian_map,
    similarity,
)
from common.registration.outputs import RESULT_FILES, check_outputs, outputs_of, result_folder
from common.registration.points import bring_points
from common.registration.transform_outputs import Writer, field_spacing_of, stored_transform
from common.switches import path_as_written
from common.writing import check_writable, json_text, write_together

#: Packages whose versions stand in ``metrics.json``.
PACKAGES = (
    "python", "registration-bundles", "monai", "torch", "numpy", "scipy", "nibabel", "itk-core", "numba", "mamba-ssm",
)  # fmt: skip


class SaveRegistrationd(Transform):
    """Write ``moved.nii.gz``, ``warp.nii.gz``, ``jacobian.nii.gz``, the files that ``outputs`` names, ``metrics.json``.

    Besides ``moved_label.nii.gz`` where there are labels, ``moved_points.csv`` or ``moved_points.mrk.json`` where there
    are points, and ``affine.mat`` where there was an alignment. All files appear at once, at the end; ``metrics.json``
    last. Needs what ``ToFixedGridd`` adds. Optional keys:
    ``name`` (a subfolder of ``output_dir`` for this pair), ``fixed_label`` and ``moving_label`` (Dice), ``true_field``
    (path of an ITK displacement field: error in millimetres).

    Args:
        output_dir: where to. Checked at once, so that a run does not end at a folder that cannot be written.
        network: name of the network for ``metrics.json``.
        further: more entries of ``metrics.json``, such as the number of passes.
        outputs: further files, see ``outputs_of``.
        field_spacing: millimetres between the vectors of ``transform.h5``, see ``field_spacing_of``.
        behind: where the files are written while the next pair is registered; at once without it.

    Raises:
        InputError: the folder cannot be written, or there is no such output or spacing.
    """

    def __init__(
        self,
        output_dir: str | Path,
        network: str = "",
        further: Mapping[str, Any] | None = None,
        outputs: str | Sequence[str] = ("transform",),
        field_spacing: float | str = "auto",
        behind: Behind | None = None,
    ) -> None:
        self.output_dir = check_writable(path_as_written(output_dir))
        self.network, self.further = network, dict(further or {})
        self.outputs, self.field_spacing = outputs_of(outputs), field_spacing_of(field_spacing)
        self.behind = behind or Behind()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the files; return the dictionary with ``metrics`` and ``output_files``, there by the end of the run.

        Raises:
            InputError: a file would replace an input (also said before the first pair: ``check_outputs``), or cannot be
                written.
        """
        out = dict(data)
        check_outputs([_paths(out)], self.output_dir)
        with stage(out, "measure"):
            jacobian = jacobian_map(out["ddf"].as_tensor())
            metrics = self._metrics(out, jacobian)
        with stage(out, "transforms"):
            stored = stored_transform(out, self.outputs, self.field_spacing)
            moved_points, figures_of_points = bring_points(out, stored.whole)
            metrics |= figures_of_points
            if figures := stored.figures():
                metrics["transforms"] = figures
        folder = result_folder(self.output_dir, out)
        writers = self._writers(out, jacobian, metrics, stored.writers() | moved_points)
        self.behind.wait()
        self.behind.do(lambda: write_together(folder, writers, owned=RESULT_FILES))
        out["metrics"], out["output_files"] = metrics, [str(folder / name) for name in writers]
        return out

    def _writers(
        self, data: dict[Hashable, Any], jacobian: Tensor, metrics: dict[str, Any], further: dict[str, Writer]
    ) -> dict[str, Writer]:
        """A writer for each file of this pair; every image gets the one affine that the pair was registered with."""
        affine, ddf = data["fixed"].affine.numpy(), data["ddf"].as_tensor()
        moved = data["moved"].as_tensor()[0].numpy()
        writers: dict[str, Writer] = {
            "moved.nii.gz": lambda path: save_volume(moved, affine, path),
            "warp.nii.gz": lambda path: save_field(ddf, affine, path),
            "jacobian.nii.gz": lambda path: save_volume(jacobian.numpy(), affine, path),
        }
        if isinstance(data.get("moved_label"), torch.Tensor):
            label = data["moved_label"].as_tensor()[0].numpy()
            kind = np.uint8 if label.max() < 256 and label.min() >= 0 else np.int32
            writers["moved_label.nii.gz"] = lambda path: save_volume(label, affine, path, kind)
        writers |= further | mask_writers(data)
        writers["metrics.json"] = lambda path: self._finish(data, metrics, path)
        return writers

    def _metrics(self, data: dict[Hashable, Any], jacobian: Tensor) -> dict[str, Any]:
        fixed, ddf = data["fixed"], data["ddf"].as_tensor()
        affine, grid = fixed.affine.numpy(), grid_of(fixed)
        mask = foreground_of(data, "fixed")
        field = ddf_to_lps(ddf, affine)
        network = grid_of(data["image"])
        metrics: dict[str, Any] = {
            **{role: data[role].meta["filename_or_obj"] for role in ("fixed", "moving")},
            **json.loads(data.get("inputs", "{}")),
            "network": self.network,
            **self.further,
            "identical_inputs": bool(data.get("identical_inputs", False)),
            "network_grid": {
                "shape": list(network.shape),
                "spacing_mm": float(network.spacing[0]),
                "affine": network.affine.tolist(),
                "largest_displacement_voxel": float(data["network_max_voxel"]),
            },
            "outside_value": float(data["outside_value"]),
            "intensity_range": {role: list(range_of(data, role)) for role in ("fixed", "moving")},
            "similarity": self._similarity(data, mask & counted_of(data, ddf)),
            "field": field_figures(jacobian, lengths(field), mask),
        }
        for key in ("brain", "alignment"):
            if f"{key}_figures" in data:
                metrics[key] = json.loads(data[f"{key}_figures"])
        metrics |= {key: data[key] for key in ("refinement", "quality", "quality_figures", "fallback") if key in data}
        if metrics["identical_inputs"]:
            metrics["note"] = "fixed and moving are the same image: the field was set to zero"
        if data.get("true_field"):
            values, true_grid = read_field(str(data["true_field"]))
            truth = resample(values, true_grid.affine, grid, fill=None)
            errors = {"before": truth, "after": field - truth}
            metrics["tre_mm"] = {k: error_figures(lengths(v), mask) for k, v in errors.items()}
        if isinstance(data.get("fixed_label"), torch.Tensor) and isinstance(data.get("moved_label"), torch.Tensor):
            before = through(data["moving_label"], None, grid, mode="nearest")
            target = data["fixed_label"].as_tensor()[0]
            metrics["dice"] = {
                "before": dice_figures(target, before[0]),
                "after": dice_figures(target, data["moved_label"].as_tensor()[0]),
            }
        return metrics

    def _similarity(self, data: dict[Hashable, Any], mask: np.ndarray) -> dict[str, Any]:
        fixed, moving = data["fixed"], data.get("moving_whole", data["moving"])
        before = through(moving, None, grid_of(fixed), fill=float(data["outside_value"]))
        target = held(fixed.as_tensor()[0], data, "fixed")
        return {
            "before": similarity(target, held(before[0], data, "moving"), mask),
            "after": similarity(target, held(data["moved"].as_tensor()[0], data, "moving"), mask),
        }

    def _finish(self, data: dict[Hashable, Any], metrics: dict[str, Any], path: Path) -> None:
        """Add what is known only now, seconds and memory, and write."""
        now, clock = time.perf_counter(), {k: float(v) for k, v in data["clock"].items()}
        start, end = clock.pop("start"), clock.pop("end")
        clock |= {"write": now - end, "total": now - start}
        metrics["stage_seconds"] = {name: round(seconds, 3) for name, seconds in clock.items()}
        metrics["peak_memory_mb"] = peak_memory_mb()
        metrics["protocol"] = PROTOCOL
        metrics["versions"] = versions(PACKAGES)
        metrics["command"] = command_line()
        path.write_text(json_text(metrics), encoding="utf-8")


def _paths(data: Mapping[Hashable, Any]) -> dict[str, str]:
    """Paths of the files that a pair was loaded from, and its name."""
    loaded = {key: data[key].meta["filename_or_obj"] for key in PATH_KEYS if isinstance(data.get(key), MetaTensor)}
    return {**{key: data[key] for key in ("true_field", "initial", "name") if key in data}, **loaded}

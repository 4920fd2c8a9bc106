"""Refuse pairs that cannot be registered, with one line that says why."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform

from common.errors import InputError
from common.geometry import Grid, corner_points
from common.geometry.affines import Array, transform_points
from common.geometry.alignment import share_within
from common.images import Header
from common.registration.clock import stage
from common.registration.foreground import foreground_of, foreground_points
from common.registration.keys import LABEL_KEYS
from common.registration.labels import fitted_label
from common.switches import reads_switches

#: Voxels of each image that the overlap is judged by.
MANY = 50_000


def check_voxels(image: torch.Tensor, name: str) -> None:
    """Raise ``InputError`` if voxels are not finite or all the same. (1, X, Y, Z)."""
    array = image.numpy()
    finite = np.isfinite(array)
    if not finite.all():
        raise InputError(
            f"{name}: expected finite voxels, got {int((~finite).sum())} that are NaN or infinite "
            "inside of the anatomy: fill them"
        )
    low, high = float(array.min()), float(array.max())
    if low == high:
        raise InputError(f"{name}: expected an image that shows something, got a constant one (every voxel {low:g})")


def check_overlap(fixed_points: Array, moving_points: Array, fixed_name: str, moving_name: str) -> None:
    """Raise ``InputError`` unless the world bounding boxes of two sets of points share some volume.

    Args:
        fixed_points: (N, 3) in RAS millimetres.
        moving_points: (M, 3).
        fixed_name: for the error text.
        moving_name: for the error text.
    """
    low = np.maximum(fixed_points.min(axis=0), moving_points.min(axis=0))
    high = np.minimum(fixed_points.max(axis=0), moving_points.max(axis=0))
    if (low >= high).any():
        raise InputError(
            f"{moving_name}: expected an overlap in world space with {fixed_name} ({_box(fixed_points)}), "
            f"got {_box(moving_points)}"
        )


def check_headers(fixed: Header, moving: Header) -> None:
    """Raise ``InputError`` unless the fields of view of two headers overlap: the cheap half of ``ValidatePaird``."""
    boxes = [corner_points(header.grid.shape, header.grid.affine) for header in (fixed, moving)]
    check_overlap(boxes[0], boxes[1], f"fixed image {fixed.path}", f"moving image {moving.path}")


def _box(points: Array) -> str:
    ends = zip("RAS", points.min(axis=0), points.max(axis=0), strict=True)
    return "foreground " + " ".join(f"{axis} {low:.0f}..{high:.0f}" for axis, low, high in ends) + " mm"


@reads_switches
class ValidatePaird(Transform):
    """Check a loaded pair, and bring its label maps onto their images' grids.

    Args:
        require_overlap: refuse pairs whose foregrounds do not overlap in the world. Switch off where an alignment is
            going to bring them together.
    """

    def __init__(self, require_overlap: bool = True) -> None:
        self.require_overlap = require_overlap

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary, with what was found out about the foregrounds.

        Raises:
            InputError: NaN or infinite voxels inside of the anatomy, a constant image, no voxel of the anatomies in
                common, or labels that are none.
        """
        out = dict(data)
        with stage(out, "validate"):
            names = {key: f"{key} image {out[key].meta['filename_or_obj']}" for key in ("fixed", "moving")}
            for key, name in names.items():
                check_voxels(out[key].as_tensor(), name)
            for key in LABEL_KEYS:
                if isinstance(out.get(key), torch.Tensor):
                    name = f"{key} {out[key].meta['filename_or_obj']}"
                    out[key] = fitted_label(out[key], out[key.removesuffix("_label")], name)
            if self.require_overlap and "initial" not in out:
                fixed, moving = (foreground_points(out, key) for key in names)
                check_overlap(fixed, moving, names["fixed"], names["moving"])
                _check_shared_voxels(out, names)
        return out


def _check_shared_voxels(data: dict[Hashable, Any], names: Mapping[str, str]) -> None:
    """Raise ``InputError`` unless a voxel of the fixed anatomy lies in the moving one: boxes share corners."""
    fixed, moving = (foreground_of(data, role) for role in ("fixed", "moving"))
    index = np.argwhere(fixed)
    points = transform_points(data["fixed"].affine.numpy(), index[:: max(1, len(index) // MANY)])
    if share_within(points, np.eye(4), Grid(data["moving"].shape[1:], data["moving"].affine.numpy()), moving) == 0:
        raise InputError(f"{names['moving']}: expected some anatomy in common with {names['fixed']}, got no voxel")

"""Masks that come with a pair: brains to look at, and regions such as lesions that are not to count."""

import json
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from numpy.typing import NDArray
from torch import Tensor

from common.errors import InputError
from common.geometry import Grid, resample
from common.geometry.cover import Face, cut_faces, within_faces
from common.geometry.filling import fill_from_surroundings
from common.images import save_volume
from common.registration.clock import stage
from common.registration.foreground import foreground_of
from common.registration.keys import MASK_KEYS

ROLES = ("fixed", "moving")


class UseMasksd(Transform):
    """Bring every mask onto its image's grid, and take the values of excluded regions out of the images.

    ``<role>_mask`` (a brain) and ``<role>_exclude`` (a lesion, an artefact) may lie on grids of their own; they become
    (1, X, Y, Z) uint8 of the image's. What is excluded gets the values around it, so that nothing which follows depends
    on what was there; ``moving_whole`` keeps the moving image as it was, for ``moved``.

    Raises:
        InputError: a mask that shows nothing of its image, or excludes all of it.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with the masks and the images that they leave."""
        out = dict(data)
        if not any(key in out for key in MASK_KEYS):
            return out
        with stage(out, "masks"):
            for key in (key for key in MASK_KEYS if key in out):
                out[key] = on_grid_of(out[key], out[key.partition("_")[0]], key)
            for role in ROLES:
                if f"{role}_exclude" in out:
                    _exclude(out, role)
        return out


def on_grid_of(mask: MetaTensor, image: MetaTensor, key: str) -> MetaTensor:
    """A mask's nearest voxels on an image's grid, 1 where it is above 0.

    Raises:
        InputError: none is left.
    """
    shape = image.shape[1:]
    grid = Grid((shape[0], shape[1], shape[2]), image.affine.numpy())
    given = (mask.as_tensor() > 0).float()
    values = resample(given, mask.affine.numpy(), grid, "nearest") > 0.5
    if not bool(values.any()):
        raise InputError(
            f"{key} {mask.meta['filename_or_obj']}: expected a mask of {image.meta['filename_or_obj']}, "
            f"got one that {'shows nothing of it' if bool(given.any()) else 'is empty'}"
        )
    return MetaTensor(
        values.to(torch.uint8), affine=image.affine.clone(), meta={"filename_or_obj": mask.meta["filename_or_obj"]}
    )


def _exclude(data: dict[Hashable, Any], role: str) -> None:
    image, region = data[role], data[f"{role}_exclude"][0].numpy() > 0
    if region.all():
        raise InputError(f"{role}_exclude: expected a region within the image, got all of it")
    spacing = np.linalg.norm(image.affine.numpy()[:3, :3], axis=0)
    replace_voxels(data, role, fill_from_surroundings(image[0].numpy(), region, spacing))


def replace_voxels(data: dict[Hashable, Any], role: str, voxels: NDArray) -> None:
    """Put other voxels (X, Y, Z) in the place of an image's; the moving image as it came stays as ``moving_whole``.

    What was found out about the image before, see ``foreground.py`` and ``intensities.py``, is forgotten.
    """
    image = data[role]
    if role == "moving":
        data.setdefault("moving_whole", image)
    data[role] = like(image, voxels[None])
    for known in ("background", "foreground", "range"):
        data.pop(f"{role}_{known}", None)


def like(image: MetaTensor, values: np.ndarray) -> MetaTensor:
    """Other voxels (1, X, Y, Z) in the place of an image's."""
    meta = {key: image.meta[key] for key in ("filename_or_obj", "modality") if key in image.meta}
    return MetaTensor(torch.from_numpy(values), affine=image.affine.clone(), meta=meta)


def counted_on(data: dict[Hashable, Any], grid: Grid, alignment: Any = None) -> Tensor | None:
    """Where each image counts on the network's grid: not where it is excluded, nor beyond a face that cuts the anatomy.

    Args:
        data: a pair, with ``<role>_exclude`` where there is any.
        grid: the network's.
        alignment: (4, 4), from the fixed image's world to the moving image's.

    Returns:
        (2, x, y, z) float32 of 0 and 1, moving first; None where both count everywhere.
    """
    counted = torch.ones(2, *grid.shape)
    for channel, role, way in ((0, "moving", alignment), (1, "fixed", None)):
        if (mask := data.get(f"{role}_exclude")) is not None:
            excluded = resample(mask.as_tensor().float(), mask.affine.numpy(), grid, "nearest", alignment=way)
            counted[channel] -= excluded[0]
        if faces := _cut_faces(data, role):
            affine = data[role].affine.numpy()
            counted[channel] *= torch.from_numpy(within_faces(grid, data[role].shape[1:], affine, faces, way))
    return None if bool(counted.all()) else counted


def counted_of(data: dict[Hashable, Any], ddf: Tensor) -> NDArray[np.bool_]:
    """Where both images count, the moving one seen through the total displacement. (3, X, Y, Z) -> (X, Y, Z)."""
    counted = np.ones(ddf.shape[1:], dtype=bool)
    if (mask := data.get("fixed_exclude")) is not None:
        counted &= mask[0].numpy() == 0
    shape = ddf.shape[1:]
    if (mask := data.get("moving_exclude")) is not None:
        grid = Grid((shape[0], shape[1], shape[2]), data["fixed"].affine.numpy())
        seen = resample(mask.as_tensor().float(), mask.affine.numpy(), grid, "nearest", ddf=ddf)
        counted &= seen[0].numpy() < 0.5
    if faces := _cut_faces(data, "moving"):
        grid, moving = Grid((shape[0], shape[1], shape[2]), data["fixed"].affine.numpy()), data["moving"]
        counted &= within_faces(grid, moving.shape[1:], moving.affine.numpy(), faces, ddf=ddf)
    return counted


def _cut_faces(data: dict[Hashable, Any], role: str) -> tuple[Face, ...]:
    """Faces of an image's field of view that cut through what it shows."""
    return cut_faces(foreground_of(data, role)) if role in data else ()


def mask_writers(data: Mapping[Hashable, Any]) -> dict[str, Callable[[Path], None]]:
    """A writer for each brain mask that was found here; one that was given exists already."""
    figures = json.loads(data.get("brain_figures", "{}"))
    found = [role for role in ROLES if f"{role}_mask" in data and figures.get(role, {}).get("method") != "given"]
    return {f"{role}_brain_mask.nii.gz": partial(_write_mask, data[f"{role}_mask"]) for role in found}


def _write_mask(mask: MetaTensor, path: Path) -> None:
    save_volume(mask[0].numpy(), mask.affine.numpy(), path, np.uint8)

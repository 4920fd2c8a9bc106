"""Load the images of a pair, as MONAI's dictionary transforms hand them on."""

import json
import logging
import time
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from numpy.typing import NDArray
from scipy import ndimage

from common.errors import InputError
from common.images import read_volume
from common.registration.clock import stage
from common.registration.keys import LABEL_KEYS, MASK_KEYS, PATH_KEYS

logger = logging.getLogger(__name__)


def load_image(path: str, role: str) -> MetaTensor:
    """Load one 3-D image.

    Args:
        path: a file or folder that ``read_volume`` reads.
        role: what the image is in the pair, for errors.

    Returns:
        (1, X, Y, Z) float32, scaled by the file's slope and intercept, in the file's own axis order. What surrounds the
        anatomy and is NaN or infinite becomes background. Its meta holds ``affine`` (RAS), ``filename_or_obj`` and
        ``modality`` only: other entries of a header differ by format and do not collate.

    Raises:
        InputError: as ``read_volume``.
    """
    volume = read_volume(path, role)
    voxels = without_unknown(np.ascontiguousarray(volume.voxels, dtype=np.float32), f"{role} image {path}")[None]
    affine = torch.from_numpy(volume.affine.copy())
    meta = {"filename_or_obj": str(path), "modality": volume.modality}
    return MetaTensor(torch.from_numpy(voxels), affine=affine, meta=meta)


def without_unknown(voxels: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Fill what is NaN or infinite and reaches the border: that is how some programs mark the outside of their mask.

    It becomes 0, or the least value where that is below 0, and is said aloud. What lies inside of the anatomy stays.

    Args:
        voxels: (X, Y, Z).
        name: for the word.
    """
    unknown = ~np.isfinite(voxels)
    if not unknown.any() or unknown.all():
        return voxels
    parts, _ = ndimage.label(unknown)
    faces = [np.take(parts, side, axis=axis).ravel() for axis in range(3) for side in (0, -1)]
    outside = np.isin(parts, np.setdiff1d(np.concatenate(faces), [0]))
    if not outside.any():
        return voxels
    value = min(float(voxels[~unknown].min()), 0.0)
    logger.warning("%s: %d voxels around it are NaN or infinite; they count as background", name, int(outside.sum()))
    return np.where(outside, np.float32(value), voxels)


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value)


class LoadPaird(MapTransform):
    """Load ``fixed`` and ``moving``, and those of ``LABEL_KEYS`` and ``MASK_KEYS`` that the dictionary has.

    Each becomes a (1, X, Y, Z) float32 ``MetaTensor`` in its file's own axis order. See ``load_image`` for errors.
    """

    def __init__(self, keys: KeysCollection = ("fixed", "moving")) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace the paths by images."""
        # None does not collate, and an empty path stands for one that was not given.
        out = {key: value for key, value in data.items() if not _empty(value)}
        given = sorted(map(str, out))
        out["clock"] = {"start": time.perf_counter()}
        out["inputs"] = json.dumps({key: str(out[key]) for key in PATH_KEYS if key in out})
        with stage(out, "load"):
            for key in (*self.keys, *(key for key in (*LABEL_KEYS, *MASK_KEYS) if key in out)):
                if key not in out:
                    raise InputError(f"expected a path under the key {key!r}, got only {given}")
                out[key] = load_image(out[key], str(key))
        return out

"""Brain extraction as a step of the pipeline: the networks know brains only, a scanner gives heads."""

import json
import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Transform
from numpy.typing import NDArray

from common.errors import InputError
from common.geometry import looks_like_ct
from common.registration.brain_ct import extract_from_ct
from common.registration.brain_network import EXTRA, extract_by_network, is_installed
from common.registration.clock import stage
from common.registration.head import signs_of
from common.registration.masks import ROLES, like, replace_voxels

logger = logging.getLogger(__name__)

MODES = ("auto", "none")
#: Share of what a head shows that a brain can be: less is no brain, more is a head without one around it.
SMALLEST, LARGEST = 0.15, 0.85
#: Hounsfield units that a stripped CT is held to: those that the weights were trained with.
WINDOW = (0.0, 80.0)


class ExtractBraind(Transform):
    """Strip heads down to their brains; images that are stripped already pass untouched.

    A head is recognised by ``common.registration.head``. MR goes to deepbet (an extra), CT to thresholds. Masks that
    come along as ``fixed_mask`` and ``moving_mask`` are used as they are. Adds ``brain_figures``, the mask that was
    found under ``<role>_mask``, (1, X, Y, Z), and ``moving_whole``, the moving image as it was: the network, the
    alignment and the refinement see the brain, ``moved`` is made from the whole head.

    Args:
        mode: ``auto``, or ``none``: only masks that are given count.

    Raises:
        InputError: no such mode.
    """

    def __init__(self, mode: str = "auto") -> None:
        if mode not in MODES:
            raise InputError(f"brain: expected one of {', '.join(MODES)}, got {mode!r}")
        self.mode = mode

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with the stripped images.

        Raises:
            InputError: the network's files are not those of the version that is known.
        """
        out = dict(data)
        if self.mode == "none" and not any(f"{role}_mask" in out for role in ROLES):
            return out
        with stage(out, "brain"):
            figures = {role: self._strip(out, role) for role in ROLES}
            words = [f"{role}: {one['word']}" for role, one in figures.items() if one["word"]]
            # As text: a dictionary would be taken apart where a batch is made of it.
            out["brain_figures"] = json.dumps({**figures, "word": "; ".join(words)})
        return out

    def _strip(self, data: dict[Hashable, Any], role: str) -> dict[str, Any]:
        image = data[role]
        volume, affine = image[0].numpy(), image.affine.numpy()
        ct = image.meta.get("modality") == "CT" or looks_like_ct(volume)
        if f"{role}_mask" in data:
            mask, figures = data[f"{role}_mask"][0].numpy() > 0, {"method": "given", "word": "the given brain mask"}
        elif self.mode == "none":
            return {"method": "none", "word": ""}
        else:
            mask, figures = _found(volume, affine, ct, f"{role} image {Path(image.meta['filename_or_obj']).name}")
            if mask is None:
                return figures
        data[f"{role}_mask"] = like(image, mask.astype(np.uint8)[None])
        replace_voxels(data, role, stripped(volume, mask, ct))
        return {**figures, "millilitres": round(float(mask.sum() * abs(np.linalg.det(affine[:3, :3]))) / 1000, 1)}


def _found(volume: NDArray, affine: NDArray, ct: bool, name: str) -> tuple[NDArray[np.bool_] | None, dict[str, Any]]:
    """The brain of a head, and what was found out; no mask where there is nothing to strip, or no way to."""
    signs = signs_of(volume, affine)
    figures = {"shown_millilitres": round(signs.millilitres, 1), "constant_surroundings": round(signs.constant, 4)}
    if not signs.head:
        return None, {**figures, "method": "none", "word": ""}
    if not ct and not is_installed():
        logger.warning(
            "%s looks like a whole head; the networks know brains only. To strip it: %s, or give a mask (%s_mask)",
            name, EXTRA, name.split()[0],
        )  # fmt: skip
        return None, {**figures, "method": "not installed", "word": f"a whole head, not stripped ({EXTRA})"}
    mask = extract_from_ct(volume, affine) if ct else extract_by_network(volume, affine)
    share = float(mask.sum()) * abs(np.linalg.det(affine[:3, :3])) / 1000 / signs.millilitres
    figures["brain_share"] = round(share, 3)
    if share > LARGEST:  # an unusual background around a brain: nothing to take off
        return None, {**figures, "method": "none", "word": ""}
    if share < SMALLEST:
        logger.warning("%s looks like a whole head, but no brain was found in it: it is registered as it is", name)
        return None, {**figures, "method": "failed", "word": "a whole head, no brain found"}
    method = "CT thresholds" if ct else "deepbet"
    return mask, {**figures, "method": method, "word": f"a whole head, stripped to the brain by {method}"}


def stripped(volume: NDArray, mask: NDArray[np.bool_], ct: bool = False) -> NDArray[np.float32]:
    """The image within a mask, on the background that the weights were trained with.

    CT is held to 0 to 80 HU. MR gets 0, or its smallest value where that is below.

    Args:
        volume: (X, Y, Z).
        mask: (X, Y, Z).
        ct: whether it is in Hounsfield units.
    """
    if ct:
        return np.where(mask, np.clip(volume, *WINDOW), WINDOW[0]).astype(np.float32)
    return np.where(mask, volume, min(0.0, float(volume.min()))).astype(np.float32)

"""The linear alignment of a pair as a step of the pipeline, before the network's grid."""

import json
import logging
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform

from common.errors import InputError
from common.registration.align import MODES, align
from common.registration.clock import stage
from common.registration.transform_files import read_affine

logger = logging.getLogger(__name__)


class AlignPaird(Transform):
    """Bring the moving image to the fixed one linearly: adds ``alignment`` and ``alignment_figures``.

    ``alignment`` is (4, 4), from the fixed image's world to the moving image's, RAS millimetres; both grid steps apply
    it, so that every image is still interpolated once. An alignment that cannot be right is said aloud. A file under
    the key ``initial``, a linear transform from fixed to moving, is one start more; with ``none`` it is the alignment.

    Args:
        mode: ``auto``, ``rigid``, ``affine`` or ``none``, see ``common.registration.align.align``.

    Raises:
        InputError: no such mode.
    """

    def __init__(self, mode: str = "auto") -> None:
        if mode not in MODES:
            raise InputError(f"align: expected one of {', '.join(MODES)}, got {mode!r}")
        self.mode = mode

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with the alignment, without one where the images stay as their headers have them.

        Raises:
            InputError: the initial transform cannot be read.
        """
        out = dict(data)
        if self.mode == "none" and "initial" not in out:
            return out
        with stage(out, "align"):
            initial = read_affine(out["initial"]).matrix if "initial" in out else None
            excluded = {key: out[key] for key in ("fixed_exclude", "moving_exclude") if key in out}
            found = align(out["fixed"], out["moving"], self.mode, initial=initial, **excluded)
            # As text: a dictionary would be taken apart where a batch is made of it.
            out["alignment_figures"] = json.dumps(found.figures())
            if not np.array_equal(found.matrix, np.eye(4)):
                out["alignment"] = torch.from_numpy(np.asarray(found.matrix, dtype=np.float64).copy())
        for reason in found.implausible:
            logger.warning("the alignment may be wrong: %s", reason)
        return out

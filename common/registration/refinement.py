"""The refinement of a network's field on the images themselves, as a step of the pipeline of one pair."""

import logging
from collections.abc import Hashable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from common.geometry.affines import spacing_of
from common.refine import Describe, Options, Pair, refine
from common.registration.clock import end_network, stage
from common.registration.structures import structures_of
from common.switches import switch

logger = logging.getLogger(__name__)


class RefineFieldd(Transform):
    """Refine ``pred`` on ``image``, the network's own grid, before ``ToFixedGridd``; adds ``refinement``.

    ``pred`` (3, x, y, z) becomes a field that is one to one by the ten determinants. ``refinement`` is
    ``common.refine.Record`` as plain values: what was chosen and why, how every level went. Two identical images are
    left alone.

    Args:
        preset: ``off`` leaves the network's field as it is; ``fast``, ``accurate`` or ``auto``.
        similarity: see ``common.refine.Options``, as the rest.
        start: ``auto``, ``network``, ``affine`` or ``mean``.
        window: radius of the correlation's windows, voxels; ``None`` is the recipe's.
        smoothness: standard deviation of the field's smoothing, voxels; ``None`` is the recipe's.
        symmetric: treat both images alike.
        seconds: no iteration begins after this time; ``None`` for no bound.
        structures: with two contrasts, let the anatomy network tell what lies where in both images.

    Raises:
        InputError: see ``common.refine.Options``.
    """

    def __init__(
        self,
        preset: str = "auto",
        similarity: str = "auto",
        start: str = "auto",
        window: int | None = None,
        smoothness: float | None = None,
        symmetric: bool = False,
        seconds: float | None = None,
        structures: bool | str = True,
    ) -> None:
        self.options = Options(str(preset), similarity, start, window, smoothness, symmetric, seconds)
        self.structures = switch(structures, "refine_structures")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with the refined ``pred``."""
        out = dict(data)
        end_network(out)
        if self.options.preset == "off" or out.get("identical_inputs"):
            return out
        return self._refined(out, self.options)

    def from_alignment(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with ``pred`` refined from the alignment alone, by ``fast`` where refinement is off."""
        preset = "fast" if self.options.preset == "off" else self.options.preset
        return self._refined(dict(data), replace(self.options, preset=preset, start="affine"))

    def _refined(self, out: dict[Hashable, Any], options: Options) -> dict[Hashable, Any]:
        with stage(out, "refine"):
            image = torch.as_tensor(out["image"]).as_subclass(torch.Tensor).float()
            pred = torch.as_tensor(out["pred"]).as_subclass(torch.Tensor).float()
            masks = torch.as_tensor(out["counted"])[:, None, None].to(pred.device) if "counted" in out else (None, None)
            pair = Pair(*image[:, None, None].to(pred.device), *masks)
            start = None if options.start == "affine" else self._start(pred)
            refined = refine(pair, start, options, describe=self._describe(out["image"]))
            out["pred"], out["refinement"] = refined.ddf[0], refined.record.as_dict()
        return out

    def _describe(self, image: torch.Tensor) -> Describe | None:
        """Who tells structures on this grid; nobody where the size of its voxels is not known."""
        if not self.structures or not isinstance(image, MetaTensor):
            return None
        return partial(structures_of, spacing=float(spacing_of(image.affine.numpy())[0]))

    def _start(self, pred: torch.Tensor) -> torch.Tensor | None:
        """The network's field (1, 3, x, y, z), or nothing where it is no field."""
        if bool(torch.isfinite(pred).all()):
            return pred[None]
        logger.warning("the network's field is not finite: refinement starts from the alignment alone")
        return None

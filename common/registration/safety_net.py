"""Never silently worse: a field that is worse than its start, or that cannot be, gives way to something better."""

import json
import logging
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform
from torch import Tensor

from common.errors import InputError
from common.geometry.affines import spacing_of
from common.geometry.cover import cut_share
from common.registration.clock import end_network, stage
from common.registration.foreground import foreground_of
from common.registration.quality_figures import Regions, contrasts, counts, deformation, likeness, regions_of
from common.registration.quality_flags import (
    Flag,
    contrast_flag,
    deformation_flags,
    not_finite_flag,
    pair_flags,
    similarity_flags,
)
from common.registration.refinement import RefineFieldd
from common.switches import reads_switches

logger = logging.getLogger(__name__)

NETWORK, ALIGNMENT = "the network's field", "the alignment alone"
#: By the start that the refinement took.
REFINED = {
    "network": "the network's field, refined",
    "affine": "the alignment, refined",
    "mean": "the alignment and the network's field, refined together",
}


@reads_switches
class KeepBetterd(Transform):
    """Judge ``pred`` against the alignment alone, and replace it where it is worse or cannot be.

    With a serious flag the refinement from the alignment takes its place; with one on that too, or where the images
    have nothing in common, the alignment alone does. Adds ``quality``, the flags of what is kept, ``quality_figures``,
    and ``fallback`` where something gave way: what, to what, and why. Runs between ``RefineFieldd`` and
    ``ToFixedGridd``.

    Args:
        refinement: the step that refined, or would.
        keep: flags are raised, and the result stays as it is.
    """

    def __init__(self, refinement: RefineFieldd, keep: bool = False) -> None:
        self.refinement, self.keep = refinement, keep

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with the better ``pred`` and what was found out."""
        out = dict(data)
        end_network(out)
        with stage(out, "check"):
            judge = _Judge(out)
            flags, figures = judge.field(out)
        rejected: list[dict[str, Any]] = []
        if not self.keep and not out.get("identical_inputs"):
            for better in self._others(out, flags):
                if not _serious(flags):
                    break
                rejected.append({"result": result_of(out), "flags": [flag.as_dict() for flag in flags]})
                out = better()
                with stage(out, "check"):
                    flags, figures = judge.field(out)
        if rejected:
            because = [flag["word"] for one in rejected for flag in one["flags"] if flag["serious"]]
            out["fallback"] = {"to": result_of(out), "because": because, "rejected": rejected}
        flags = [*flags, *judge.pair()]
        out["quality"], out["quality_figures"] = [flag.as_dict() for flag in flags], figures
        _say(out)
        return out

    def _others(self, data: dict[Hashable, Any], flags: list[Flag]) -> list[Callable[[], dict[Hashable, Any]]]:
        """What may take the place of ``pred``, the best first; nothing is computed before it is called."""
        unrelated = any(flag.flag == "unrelated" for flag in flags)
        if unrelated or result_of(data) == REFINED["affine"]:
            return [lambda: _alignment(data)]
        return [lambda: self.refinement.from_alignment(data), lambda: _alignment(data)]


def _alignment(data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
    """The dictionary with the alignment alone."""
    nothing = torch.zeros_like(torch.as_tensor(data["pred"]))
    return {key: value for key, value in data.items() if key != "refinement"} | {"pred": nothing}


def counted_in(data: Mapping[Any, Any]) -> Tensor | None:
    """The pair's ``counted``, a plain tensor (2, x, y, z); None where nothing is excluded."""
    return torch.as_tensor(data["counted"]).float().cpu() if "counted" in data else None


def result_of(data: Mapping[Hashable, Any]) -> str:
    """What ``pred`` is, in words."""
    if "refinement" in data:
        return REFINED[data["refinement"]["start"]]
    return NETWORK if bool(torch.as_tensor(data["pred"]).any()) else ALIGNMENT


class _Judge:
    """One pair on the network's grid: what does not change from field to field is measured once."""

    def __init__(self, data: dict[Hashable, Any]) -> None:
        self._data = data
        self._image: Tensor = torch.as_tensor(data["image"]).as_subclass(torch.Tensor).float().cpu()
        self._counted = counted_in(data)
        self._regions: Regions = regions_of(self._image, self._counted)
        if not self._regions.fixed.any():
            raise InputError(
                "fixed_exclude and moving_exclude: expected some of the anatomy to be left, got none of it"
            )
        self._contrasts, self._correlation = contrasts(self._image, self._regions)
        self._start = likeness(self._image, self._regions)
        self._spacing = float(spacing_of(data["image"].affine.numpy())[0])

    def field(self, data: dict[Hashable, Any]) -> tuple[list[Flag], dict[str, Any]]:
        """The flags of ``pred`` in a dictionary, and the figures behind them."""
        ddf = torch.as_tensor(data["pred"]).as_subclass(torch.Tensor).detach().float().cpu()
        regions, start = self._regions, self._start
        if self._counted is not None and bool(torch.isfinite(ddf).all()):
            # What is excluded of the moving image is somewhere else now; both are compared where neither has it.
            seen = regions.within(counts(self._counted, ddf))
            regions = seen if seen.fixed.any() else regions
            start = likeness(self._image, regions)
        figures: dict[str, Any] = {"contrasts": self._contrasts, "start": start}
        if data.get("identical_inputs"):
            return [], figures
        if not bool(torch.isfinite(ddf).all()):
            return [not_finite_flag()], figures
        result = likeness(self._image, regions, ddf)
        figures |= {"result": result, "deformation": deformation(ddf, regions, self._spacing)}
        if result_of(data) == ALIGNMENT:
            return [], figures
        flags = similarity_flags(start, result, self._contrasts) + deformation_flags(figures["deformation"])
        if result_of(data) not in (ALIGNMENT, REFINED["affine"]):  # the network had a say
            flags += contrast_flag(self._correlation)
        return flags, figures

    def pair(self) -> list[Flag]:
        """The flags of the pair itself."""
        data, regions = self._data, self._regions
        alignment = json.loads(data.get("alignment_figures", "{}"))
        return pair_flags(
            regions.overlap,
            regions.volume_ratio,
            {role: cut_share(foreground_of(data, role)) for role in ("fixed", "moving")},
            alignment.get("implausible", []),
            bool(data.get("identical_inputs")),
            {role: float(spacing_of(data[role].affine.numpy()).max()) for role in ("fixed", "moving")},
            alignment.get("kind", ""),
            alignment.get("from_rigid_mm"),
        )


def _serious(flags: list[Flag]) -> bool:
    return any(flag.serious for flag in flags)


def _say(data: Mapping[Hashable, Any]) -> None:
    """Every flag and a fallback, one line each, as warnings."""
    name = data["fixed"].meta["filename_or_obj"]
    if "fallback" in data:
        logger.warning("%s: the result is %s, since %s", name, data["fallback"]["to"], data["fallback"]["because"][0])
    for flag in data["quality"]:
        logger.warning("%s: %s; %s", name, flag["word"], flag["what_to_do"])

"""One label map out of several: SimpleITK's voting and STAPLE; ties go to the atlas that fits best."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: How several atlases become one answer; the first is the default.
METHODS = ("voting", "staple", "best")


def fuse(candidates: Sequence[NDArray], method: str, similarities: Sequence[float]) -> NDArray:
    """Fuse label maps of one grid.

    Args:
        candidates: (X, Y, Z) each, whole numbers from 0.
        method: ``voting`` takes the label that most candidates have, ``staple`` weighs each candidate by its estimated
            performance (Warfield et al., TMI 2004; Rohlfing et al., 2003, for several labels), ``best`` takes the
            candidate with the largest similarity.
        similarities: of the moved images to the study, larger is better; they decide ties.

    Returns:
        (X, Y, Z) in the type of the first candidate.
    """
    best = candidates[int(np.argmax(similarities))]
    if len(candidates) == 1 or method == "best":
        return best
    box = _box(candidates)
    if box is None:
        return best
    values = np.unique(np.concatenate([np.unique(candidate[box]) for candidate in candidates]))
    dense = [np.searchsorted(values, candidate[box]).astype(np.uint16) for candidate in candidates]
    decided = _decide(dense, method, undecided=len(values))
    chosen = np.searchsorted(values, best[box])
    fused = np.zeros_like(best)
    fused[box] = values[np.where(decided == len(values), chosen, decided)]
    return fused


def _decide(candidates: Sequence[NDArray], method: str, undecided: int) -> NDArray:
    import SimpleITK

    images: list[Any] = [SimpleITK.GetImageFromArray(np.ascontiguousarray(candidate)) for candidate in candidates]
    if method == "staple":
        staple = SimpleITK.MultiLabelSTAPLEImageFilter()
        staple.SetLabelForUndecidedPixels(undecided)
        staple.SetMaximumNumberOfIterations(20)
        staple.SetTerminationUpdateThreshold(1e-3)
        return SimpleITK.GetArrayFromImage(staple.Execute(images))
    return SimpleITK.GetArrayFromImage(SimpleITK.LabelVoting(images, undecided))


def _box(candidates: Sequence[NDArray]) -> tuple[slice, ...] | None:
    """The part of the grid where any candidate has a label."""
    any_label = np.any([candidate != 0 for candidate in candidates], axis=0)
    if not any_label.any():
        return None
    spans = [np.flatnonzero(any_label.any(axis=tuple(k for k in range(3) if k != axis))) for axis in range(3)]
    return tuple(slice(int(span[0]), int(span[-1]) + 1) for span in spans)

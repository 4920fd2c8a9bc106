"""Instance optimisation of one pair: from a start to a smooth field that is one to one and fits the images better."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from common.errors import InputError
from common.refine.choice import contrasts_of, weight_of
from common.refine.compiled_descent import CompiledDescent, can_descend_compiled
from common.refine.descent import Descent, Level, PlainDescent
from common.refine.determinants import smallest_determinant
from common.refine.levels import boxed, coarse_field, fields_at, landmarks_of, level_of, with_structures
from common.refine.optimiser import FLOOR, descend
from common.refine.options import Options, Stage, stages_of
from common.refine.pair import Pair, without
from common.refine.record import LevelRecord, Record
from common.refine.region import foreground
from common.refine.start import one_to_one, prepared_start
from common.refine.structures import Describe
from common.refine.symmetric import Half, SymmetricDescent, joined, mirrored
from common.spatial import invert

#: By how much the similarity from the network's field has to be larger for it to be the start.
MARGIN = 0.005
STARTS_IN_WORDS = {
    "affine": "the alignment alone",
    "network": "the network field",
    "mean": "between the refined alignment and the network's field",
}
#: Least determinant of each half of a symmetric run, so that the halves joined stay far from a fold.
SYMMETRIC_FLOOR = 0.15
Watch = Callable[[str, float, float], None]


@dataclass(frozen=True)
class Refined:
    """What ``refine`` returns.

    Attributes:
        ddf: (1, 3, X, Y, Z) in voxels: moved(x) = moving(x + ddf(x)).
        record: what was done.
        inverse: (1, 3, X, Y, Z), where asked for.
        inverse_residual: (1, 1, X, Y, Z) in voxels.
    """

    ddf: Tensor
    record: Record
    inverse: Tensor | None = None
    inverse_residual: Tensor | None = None


def descent_of(level: Level) -> Half:
    """Return the level on the fastest path that its device has."""
    return CompiledDescent(level) if can_descend_compiled(level) else PlainDescent(level)


@torch.no_grad()
def refine(
    pair: Pair,
    start: Tensor | None = None,
    options: Options = Options(),  # noqa: B008 (frozen)
    inverse: bool = False,
    watch: Watch | None = None,
    describe: Describe | None = None,
) -> Refined:
    """Refine a field on one pair.

    Args:
        pair: images and what comes with them.
        start: (1, 3, X, Y, Z) in voxels, a network's field; without it the alignment as it is.
        options: see ``Options``.
        inverse: compute the inverse as well.
        watch: called after each iteration with the stage in words, the similarity and the smallest determinant.
        describe: tells the structures of an image, for pairs of two contrasts.

    Returns:
        The field, one to one by the ten determinants (checked, ``record.smallest_determinant``) unless the preset is
        ``off``.

    Raises:
        InputError: see ``Options`` and ``Pair``; a symmetric run with landmarks or from a network's field.
    """
    if options.symmetric and (options.start in ("network", "mean") or pair.fixed_points is not None):
        raise InputError("refine_symmetric: expected no landmarks and a start from the alignment, got one of them")
    began = time.perf_counter()
    record = Record(options.preset)
    if options.preset == "off":
        record.reasons.append("refinement is off: the start is the result")
        ddf = torch.zeros_like(pair.fixed[:, :1]).repeat(1, 3, 1, 1, 1) if start is None else start
    else:
        deadline = float("inf") if options.seconds is None else began + options.seconds
        ddf = _Refinement(pair, options, record, deadline, watch).run(start, describe)
    record.smallest_determinant = smallest_determinant(ddf)
    result = Refined(ddf, record)
    if inverse:
        back, residual = invert(ddf)
        result = Refined(ddf, record, back, residual)
        inside = residual[foreground(pair.fixed)]
        record.inverse_residual = {"mean": float(inside.mean()), "largest": float(inside.max())}
    record.seconds = time.perf_counter() - began
    return result


class _Refinement:
    """One run: what stays the same from level to level."""

    def __init__(self, pair: Pair, options: Options, record: Record, deadline: float, watch: Watch | None) -> None:
        self._grid, self._device = pair.fixed.shape[2:], pair.fixed.device
        self._options, self._record, self._deadline, self._watch = options, record, deadline, watch
        self._pair, self._work = pair, boxed(pair, options.symmetric)
        self._floor = SYMMETRIC_FLOOR if options.symmetric else FLOOR

    def run(self, start: Tensor | None, describe: Describe | None) -> Tensor:
        """Return the refined field (1, 3, X, Y, Z)."""
        contrasts = self._contrasts()
        if contrasts == 2 and describe is not None and self._options.similarity == "auto":
            self._look_for_structures(describe)
        stages = stages_of(self._options, contrasts, self._work.structures is not None)
        whole = torch.zeros(1, 3, *self._grid, device=self._device)
        candidates = {"affine": whole}
        if self._options.symmetric:
            return self._symmetric(stages, whole)
        if start is not None and self._options.start != "affine":
            candidates["network"] = prepared_start(start)
            if self._options.start == "network":
                del candidates["affine"]
        name, change, rest = self._choose(candidates, stages)
        self._record.start = name
        begin = self._work.box.cut(candidates[name])
        for stage in rest:
            change, _ = self._level(stage, begin, change)
        field = begin if change is None else begin + change
        self._measure_landmarks(begin, field)
        return self._work.box.paste(field, candidates[name])

    def _symmetric(self, stages: tuple[Stage, ...], whole: Tensor) -> Tensor:
        """Run all stages from no displacement on both halves; return the field from the fixed to the moving image."""
        self._record.reasons.append("start: the alignment alone, as a symmetric run has it")
        begin = self._work.box.cut(whole).repeat(2, 1, 1, 1, 1)
        change: Tensor | None = None
        for stage in stages:
            change, _ = self._level(stage, begin, change)
        fields = begin if change is None else begin + change
        return self._work.box.paste(one_to_one(joined(fields[:1], fields[1:]), FLOOR), whole)

    def _contrasts(self) -> int:
        pair = self._work.pair
        if self._options.similarity == "auto":
            inside = (pair.fixed[:, :1] > 0) & (pair.moving[:, :1] > 0)
            self._record.contrasts, reason = contrasts_of(pair.moving[:, :1], pair.fixed[:, :1], inside)
        else:
            self._record.contrasts = 1 if self._options.similarity == "correlation" else 2
            reason = f"similarity {self._options.similarity}: asked for"
        self._record.reasons.append(reason)
        return self._record.contrasts

    def _look_for_structures(self, describe: Describe) -> None:
        pair = self._pair
        images = (without(pair.moving[:, :1], pair.moving_mask), without(pair.fixed[:, :1], pair.fixed_mask))
        found = [describe(image) for image in images]
        if found[0] is not None and found[1] is not None:
            self._work = with_structures(self._work, found[0], found[1])
            self._record.reasons.append(f"structures: moving {found[0].word}; fixed {found[1].word}")
        else:
            self._record.reasons.append("structures: not told in both images, MIND-SSC takes their place")

    def _choose(
        self, candidates: dict[str, Tensor], stages: tuple[Stage, ...]
    ) -> tuple[str, Tensor | None, tuple[Stage, ...]]:
        """Go on from the start that is the best: its name, what the coarse stages changed, and the stages left."""
        if len(candidates) == 1:
            name = next(iter(candidates))
            self._record.reasons.append(f"start: the {'network field' if name == 'network' else 'alignment'}")
            return name, None, stages
        coarse = tuple(stage for stage in stages if stage.factor > 1)
        if self._options.start == "mean" or self._record.contrasts == 2:
            name, change = self._mean(candidates, coarse)
        else:
            name, change = self._better(candidates, coarse)
        self._record.reasons[-1] = f"start: {STARTS_IN_WORDS[name]}; {self._record.reasons[-1]}"
        return name, change, stages[len(coarse) :]

    def _better(self, candidates: dict[str, Tensor], coarse: tuple[Stage, ...]) -> tuple[str, Tensor | None]:
        """Run the coarse stages from each start; the larger similarity at the end wins."""
        ends: dict[str, tuple[float, Tensor | None, list[LevelRecord]]] = {}
        for name, field in candidates.items():
            change, similarity = self._coarse(coarse, field)
            ends[name] = similarity, change, self._record.levels
            self._record.levels = []
        gain = ends["network"][0] - ends["affine"][0]
        name = "network" if gain > MARGIN else "affine"
        self._record.levels = ends[name][2]
        self._record.reasons.append(
            f"refined at {coarse[-1].factor} voxels the network's start has a similarity of {ends['network'][0]:.4f}, "
            f"the alignment's {ends['affine'][0]:.4f} (the network's has to be larger by {MARGIN})"
        )
        return name, ends[name][1]

    def _mean(self, candidates: dict[str, Tensor], coarse: tuple[Stage, ...]) -> tuple[str, Tensor | None]:
        """Refine the alignment on the coarse levels, and go towards the network's field as far as that fits as well.

        Two fields of one pair that were found by other means err in other places: half-way between them both errors
        are smaller, if they are alike. Where the network's field fits better, the refinement starts from it anew. With
        structures known there is nothing in between.
        """
        change, refined = self._coarse(coarse, candidates["affine"])
        network = self._similarity(coarse[-1], candidates["network"])
        if len(coarse) == 1:  # the level began with the alignment, and to build it again takes seconds
            alone = self._record.levels[0].similarity[0]
        else:
            alone = self._similarity(coarse[-1], candidates["affine"])
        share = (network - alone) / max(refined - alone, 1e-9)
        # Where structures are known, the middle of both was worse than the alignment refined with them.
        known = self._work.structures is not None
        say = 0.5 if self._options.start == "mean" else 0.0 if known else weight_of(share)
        self._record.reasons.append(
            f"at {coarse[-1].factor} voxels the network's field brings {100 * share:.0f} % of the similarity that "
            f"refining the alignment does, and gets {100 * say:.0f} % of the say"
        )
        if self._options.start != "mean" and share > 1:
            self._record.levels = []
            return "network", self._coarse(coarse, candidates["network"])[0]
        if say == 0:
            return "affine", change
        candidates["mean"] = candidates["network"] * say
        return "mean", None if change is None else change * (1 - say)

    def _coarse(self, stages: tuple[Stage, ...], start: Tensor) -> tuple[Tensor | None, float]:
        """Run stages from a start; return the change and the similarity at the end."""
        change, similarity = None, 0.0
        for stage in stages:
            change, similarity = self._level(stage, self._work.box.cut(start), change)
        return change, similarity

    def _similarity(self, stage: Stage, field: Tensor) -> float:
        """The similarity of a stage that a field has as it is."""
        return self._descent(stage, self._work.box.cut(field), None).force()

    def _level(self, stage: Stage, start: Tensor, change: Tensor | None) -> tuple[Tensor, float]:
        """Run one stage; return the change so far on its grid, and the similarity at its end."""
        began = time.perf_counter()
        descent = self._descent(stage, start, change)
        watch, words = self._watch, stage.words
        course = descend(
            descent,
            stage.iterations,
            stage.step,
            self._deadline,
            self._floor,
            None if watch is None else lambda similarity, smallest: watch(words, similarity, smallest),
        )
        similarity, field = descent.force(), descent.field()
        shape = tuple(field.shape[2:])
        self._record.levels.append(
            LevelRecord(
                words,
                (shape[0], shape[1], shape[2]),
                len(course.similarity),
                [*course.similarity, similarity],
                course.smallest,
                course.held_back,
                course.refused,
                time.perf_counter() - began,
            )
        )
        return field - coarse_field(start, stage.factor), similarity

    def _descent(self, stage: Stage, start: Tensor, change: Tensor | None) -> Descent:
        fields = fields_at(stage, start, change).split(1)
        descent = self._descent_from(stage, *fields)
        if descent.smallest() >= self._floor:
            return descent
        # A field brought to a finer grid may have lost what its coarse cells had.
        return self._descent_from(stage, *(one_to_one(field, self._floor) for field in fields))

    def _descent_from(self, stage: Stage, field: Tensor, to_fixed: Tensor | None = None) -> Descent:
        level = level_of(self._work, stage, field, to_fixed)
        if to_fixed is None:
            return descent_of(level)
        return SymmetricDescent(descent_of(level), descent_of(mirrored(level, to_fixed)))

    def _measure_landmarks(self, begin: Tensor, end: Tensor) -> None:
        marks = landmarks_of(self._work, 1)
        if marks is not None:
            before, after = (float(marks.error(field[0]).mean()) for field in (begin, end))
            self._record.landmark_error = {"before": before, "after": after}

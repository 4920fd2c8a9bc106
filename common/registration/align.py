"""Linear alignment of two images from wherever their headers put them: many starts, mutual information, one winner.

On a grid of 8 mm (for a human head) about a thousand poses about the images' centres are tried; the ten best that
differ, and the headers' own, are climbed from; the three best of these go on to 4 mm, the winner to 2 mm. The image
that shows less is the one that is sampled: all of it has a partner in the other, so that no pose wins by comparing next
to nothing.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from monai.data import MetaTensor
from numpy.typing import ArrayLike, NDArray

from common.errors import InputError
from common.geometry.affines import Array, spacing_of, transform_points
from common.geometry.alignment import (
    Pose,
    distance_from_rigid,
    distinct,
    implausible,
    mean_distance,
    pose_of,
    share_within,
)
from common.registration.mutual_information import Likeness, Look, SearchImage, coarser, look_at, prepare

MODES = ("auto", "rigid", "affine", "none")
#: Grid of the last level in millimetres, for a head of this size or more; smaller anatomy has a finer one.
FINEST, HEAD = 2.0, 120.0
#: Voxels of the finest grid that are kept around the anatomy, so that the other image lands on known ground.
MARGIN = 20
#: Mutual information in nats below which two images do not show the same; right poses had 0.23 and more.
LEAST_SHARED = 0.2
#: Voxels of the finest grid by which two images may be apart on average and still count as aligned: 3 mm for heads.
ALIGNED = 1.5
#: How many starts go on to the levels of 8 and 4 mm, and by how many voxels of the level they have to differ.
STARTS, FINALISTS, APART = 10, 3, (2.5, 1.0)


@dataclass(frozen=True)
class Alignment:
    """What ``align`` found.

    Attributes:
        matrix: (4, 4), fixed image's world to moving image's, RAS millimetres: the pipeline's key ``alignment``.
        kind: ``affine``, ``rigid``, ``none`` (the headers stand as they are) or ``given`` (the initial transform does).
        start: ``headers``, ``search`` or ``initial``: where the winner came from.
        word: one sentence for the console.
        mutual_information: in nats, of the headers' pose (``before``) and of the matrix (``after``).
        overlap: share of the foreground of the image that shows less that lies within the other one.
        pose: the matrix taken apart.
        implausible: reasons why it cannot be right; empty if there are none.
        seconds: wall clock.
        from_rigid_mm: how far the best affine map that was found is from a rigid one, on average in the foreground,
            whether it was taken or not; None where none was looked for.
    """

    matrix: Array
    kind: str
    start: str
    word: str
    mutual_information: dict[str, float]
    overlap: float
    pose: Pose
    implausible: tuple[str, ...]
    seconds: float
    from_rigid_mm: float | None = None

    def figures(self) -> dict[str, Any]:
        """The entry ``alignment`` of ``metrics.json``."""
        return asdict(self) | {"matrix": self.matrix.tolist(), "implausible": list(self.implausible)}


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A pose on its way: score (mutual information times overlap), map from the sampled image, and where it started."""

    score: float
    matrix: Array
    start: str


def align(
    fixed: MetaTensor,
    moving: MetaTensor,
    mode: str = "auto",
    fixed_mask: MetaTensor | None = None,
    moving_mask: MetaTensor | None = None,
    initial: ArrayLike | None = None,
    fixed_exclude: MetaTensor | None = None,
    moving_exclude: MetaTensor | None = None,
) -> Alignment:
    """Find the linear map from the fixed image's world to the moving image's.

    Works for rotations up to 45 degrees, 25 % of scale, any shift and any header; for one contrast or two; for whole
    heads, stripped brains and heads that are cut off. The same input gives the same bits, on any number of threads.

    Args:
        fixed: (1, X, Y, Z) with its affine.
        moving: (1, X, Y, Z) with its affine.
        mode: ``rigid`` and ``affine`` as they say. ``auto`` is affine, rigid where no affine is plausible, and nothing
            where the images are aligned already (within 3 mm on average). ``none`` is the identity.
        fixed_mask: (1, X, Y, Z) on the fixed image's grid, above 0 where to look, such as the brain in a head.
        moving_mask: the same on the moving image's grid.
        initial: (4, 4) in RAS millimetres, fixed to moving: one start more, which stays to the end, and is taken as it
            is where no other map is better. With ``none`` it is the result.
        fixed_exclude: (1, X, Y, Z) on the fixed image's grid, above 0 where it says nothing, such as in a lesion.
        moving_exclude: the same on the moving image's grid.

    Raises:
        InputError: no such mode, or a mask on another grid.
    """
    if mode not in MODES:
        raise InputError(f"align: expected one of {', '.join(MODES)}, got {mode!r}")
    if mode == "none":
        return _switched_off() if initial is None else _given(fixed, initial)
    started = time.perf_counter()
    looks = [
        look_at(image, _mask(mask, image, f"{role} mask"), _mask(exclude, image, f"{role} exclusion"))
        for role, image, mask, exclude in (
            ("fixed", fixed, fixed_mask, fixed_exclude),
            ("moving", moving, moving_mask, moving_exclude),
        )
    ]
    spacing = _spacing(looks)
    images = [prepare(look, spacing, MARGIN * spacing) for look in looks]
    swapped = len(images[1].points) < len(images[0].points)
    sampled, other = reversed(images) if swapped else images
    levels = [_Level(coarser(sampled, n), coarser(other, n)) for n in (4, 2)] + [_Level(sampled, other)]
    kind = "rigid" if mode == "rigid" else "affine"
    given = [] if initial is None else [np.asarray(initial, dtype=np.float64)]
    given = [np.linalg.inv(matrix).astype(np.float64) for matrix in given] if swapped else given
    best = _climb(levels, kind, given)
    if mode == "auto" and implausible(best.matrix, levels[-1].overlap(best.matrix)):
        kind, best = _rigid_instead(levels, best, given)
    found = _described(levels[-1], *_decide(levels[-1], best, kind, mode, given), swapped, started)
    if kind == "rigid":
        return found
    return replace(found, from_rigid_mm=distance_from_rigid(best.matrix, levels[-1].sampled.points))


class _Level:
    """One resolution: the pair's likeness, its overlap, and what they say together."""

    def __init__(self, sampled: SearchImage, other: SearchImage) -> None:
        self.sampled, self.other = sampled, other
        self.likeness = Likeness(sampled, other)
        self._few = [image.points[:: max(1, len(image.points) // 2000)] for image in (sampled, other)]

    def overlap(self, matrix: Array) -> float:
        """The larger of two shares: of either image's foreground within what is known of the other."""
        there = share_within(self._few[0], matrix, self.other.grid, self.other.known)
        back = share_within(self._few[1], np.linalg.inv(matrix), self.sampled.grid, self.sampled.known)
        return max(there, back)

    def candidate(self, matrix: Array, start: str) -> _Candidate:
        """Score a pose. Without the factor of the overlap, small overlaps would win by chance."""
        return _Candidate(self.likeness.value(matrix) * self.overlap(matrix), matrix, start)

    def searched(self, scale: float) -> list[_Candidate]:
        """The more likely half of all poses tried (see ``Likeness.search``), scored."""
        tried = self.likeness.search(4 * self.sampled.spacing, scale)
        likely = sorted(tried, key=lambda pose: -pose[0])[: len(tried) // 2]
        return [_Candidate(value * self.overlap(matrix), matrix, "search") for value, matrix in likely]

    def improve(self, candidate: _Candidate, kind: str, step: float) -> _Candidate:
        """Climb with a first step of so many voxels; where that leads to nothing better, stay."""
        size = self.sampled.spacing
        matrix = self.likeness.maximum(kind, candidate.matrix, step * size, 0.05 * size)
        found = self.candidate(matrix, candidate.start)
        return found if found.score > candidate.score and not implausible(matrix) else candidate

    def climb(self, candidate: _Candidate, *steps: tuple[str, float]) -> _Candidate:
        """Improve in turn by maps of several kinds, with a first step of so many voxels each."""
        for kind, step in steps:
            candidate = self.improve(candidate, kind, step)
        return candidate

    def choose(self, candidates: Sequence[_Candidate], keep: int, apart: float) -> list[_Candidate]:
        """The best that differ by so many voxels."""
        possible = [one for one in candidates if not implausible(one.matrix)]
        poses = [(one.score, one.matrix) for one in possible]
        return [possible[n] for n in distinct(poses, self._few[0][::10], keep, apart * self.sampled.spacing)]


def _climb(levels: Sequence[_Level], kind: str, given: Sequence[Array]) -> _Candidate:
    """From the many poses of the coarsest level, and those given, to the one of the finest."""
    coarse, middle, fine = levels
    similar, scale = ("rigid", 0.0) if kind == "rigid" else ("similarity", 0.15)
    starts = [coarse.candidate(np.eye(4), "headers"), *(coarse.candidate(matrix, "initial") for matrix in given)]
    starts += coarse.choose(coarse.searched(scale), STARTS, APART[0])
    climbed = [coarse.improve(start, similar, 1.0) for start in starts]
    finalists = coarse.choose(climbed, FINALISTS, APART[1])
    finalists += [one for one in climbed if one.start == "initial" and one not in finalists]
    entered = [middle.candidate(one.matrix, one.start) for one in finalists]
    # A climb can stop on a ridge; one more with a large first step costs little and leaves it.
    improved = [middle.climb(one, (similar, 2.0), (similar, 0.5), (kind, 1.0)) for one in entered]
    best = max(improved, key=lambda one: one.score)
    return fine.climb(fine.candidate(best.matrix, best.start), (kind, 1.0), (kind, 0.5))


def _rigid_instead(levels: Sequence[_Level], affine: _Candidate, given: Sequence[Array]) -> tuple[str, _Candidate]:
    """Where no affine is plausible: the rigid map, if that is."""
    rigid = _climb(levels, "rigid", given)
    return ("affine", affine) if implausible(rigid.matrix, levels[-1].overlap(rigid.matrix)) else ("rigid", rigid)


def _decide(
    level: _Level, best: _Candidate, kind: str, mode: str, given: Sequence[Array]
) -> tuple[_Candidate, str, str]:
    """Set the winner against the headers' own pose and that given. -> who is taken, of what kind it is, and why."""
    headers = level.candidate(np.eye(4), "headers")
    away = mean_distance(best.matrix, np.eye(4), level.sampled.points)
    if mode == "auto" and away <= ALIGNED * level.sampled.spacing:
        return headers, "none", f"aligned already: the best {kind} map moves the images by {away:.1f} mm"
    for one in (level.candidate(matrix, "initial") for matrix in given):
        if one.score >= max(best.score, headers.score):
            return one, "given", f"the initial transform as it is: no {kind} map is better"
    if best.score <= headers.score:
        return headers, "none", f"left as the headers have it: no {kind} map is better"
    refined = ", from the initial transform" if best.start == "initial" else ""
    return best, kind, f"{kind} alignment by {_in_words(pose_of(best.matrix, level.sampled.centre))}{refined}"


def _in_words(pose: Pose) -> str:
    size = float(np.prod(pose.scales) ** (1 / 3))
    return f"{pose.rotation_degrees:.0f} degrees, {pose.shift_mm:.0f} mm, scale {size:.2f}"


def _described(level: _Level, taken: _Candidate, kind: str, word: str, swapped: bool, started: float) -> Alignment:
    matrix = np.linalg.inv(taken.matrix) if swapped else taken.matrix
    overlap, headers = level.overlap(taken.matrix), level.likeness.value(np.eye(4))
    shared = level.likeness.value(taken.matrix)
    reasons = implausible(matrix, overlap)
    if shared < LEAST_SHARED:
        little = f"mutual information {shared:.2f}, expected {LEAST_SHARED}"
        reasons.append(f"the images have little in common ({little}): is one a brain and the other a whole head?")
    pose = pose_of(matrix, (level.other if swapped else level.sampled).centre)
    likeness = {"before": headers, "after": shared}
    seconds = time.perf_counter() - started
    return Alignment(matrix, kind, taken.start, word, likeness, overlap, pose, tuple(reasons), seconds)


def _switched_off() -> Alignment:
    pose = pose_of(np.eye(4), (0.0, 0.0, 0.0))
    return Alignment(np.eye(4), "none", "headers", "alignment is switched off", {}, float("nan"), pose, (), 0.0)


def _given(fixed: MetaTensor, initial: ArrayLike) -> Alignment:
    matrix = np.asarray(initial, dtype=np.float64)
    middle = transform_points(fixed.affine.numpy(), (np.array(fixed.shape[1:])[None] - 1) / 2)[0]
    pose, reasons = pose_of(matrix, middle), tuple(implausible(matrix))
    word = f"the initial transform as it is: {_in_words(pose)}"
    return Alignment(matrix, "given", "initial", word, {}, float("nan"), pose, reasons, 0.0)


def _mask(mask: MetaTensor | None, image: MetaTensor, role: str) -> NDArray[np.bool_] | None:
    if mask is None:
        return None
    if mask.shape != image.shape:
        raise InputError(f"{role}: expected the image's shape {tuple(image.shape[1:])}, got {tuple(mask.shape[1:])}")
    return mask[0].numpy() > 0


def _spacing(looks: Sequence[Look]) -> float:
    """Millimetres of the last level: 2 for heads, less for what is smaller, but no less than half a voxel."""
    voxel = min(float(spacing_of(look.affine).min()) for look in looks)
    return max(FINEST * min(1.0, min(look.size for look in looks) / HEAD), voxel / 2)

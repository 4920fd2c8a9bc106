"""The loop of one level: force, step, control of the step, smoothing.

Source: the compositional scheme of greedy (Yushkevich et al., 2016) and of the demons (Vercauteren et al., 2009): the
smoothed force is scaled to a mean length, joined to the field by composition, and the field is smoothed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from common.refine.descent import Descent

#: Longest vector of a step in voxels; below 1, which the composition relies on, and half of it lets a cell never flip
#: by the step alone.
CAP = 0.5
#: Least of the ten determinants that a step may leave, and how many times as much stops the driving there.
FLOOR, CAUTION = 0.02, 3.0
#: From this share of the iterations on the steps shrink, linearly, to ``LAST``.
HOLD, LAST = 0.6, 0.3
#: Voxels around a cell in trouble that are held back, try after try; in the last two its smoothing is held back too.
REACHES = (1.0, 3.0, 5.0, 9.0)


@dataclass
class Course:
    """How the loop went.

    Attributes:
        similarity: after each step, before the last one's effect.
        smallest: the smallest determinant at the end.
        held_back: steps that had to be cut back around some cells so that nothing folds.
        refused: steps that were not taken at all.
    """

    similarity: list[float]
    smallest: float
    held_back: int = 0
    refused: int = 0


def step_length(iteration: int, iterations: int, step: float) -> float:
    """Mean length of a step in voxels: constant, then falling.

    >>> [round(step_length(i, 10, 0.5), 3) for i in (0, 5, 9)]
    [0.5, 0.5, 0.15]
    """
    begin = HOLD * iterations
    if iteration < begin:
        return step
    share = (iteration - begin) / max(iterations - 1 - begin, 1)
    return step * (1 - (1 - LAST) * min(share, 1.0))


def descend(
    descent: Descent,
    iterations: int,
    step: float,
    deadline: float = float("inf"),
    floor: float = FLOOR,
    watch: Callable[[float, float], None] | None = None,
) -> Course:
    """Run the iterations of a level.

    Args:
        descent: the level's state; its field's determinants are positive.
        iterations: how many.
        step: root mean square length of a step in voxels.
        deadline: ``time.perf_counter()`` after which no iteration begins.
        floor: least determinant that a step may leave; three times as much is where it is no longer driven.
        watch: called after each iteration with the similarity and the smallest determinant.
    """
    course = Course([], descent.smallest())
    for iteration in range(iterations):
        if time.perf_counter() > deadline:
            break
        course.similarity.append(descent.force())
        length = descent.rms()
        if not length > 0:
            break
        _take(descent, step_length(iteration, iterations, step) / length, floor, course)
        if watch is not None:
            watch(course.similarity[-1], course.smallest)
    return course


def _take(descent: Descent, scale: float, floor: float, course: Course) -> None:
    """Propose a step until it leaves every determinant above the floor; the field before it always does."""
    descent.pull(scale)
    descent.propose(scale, CAP)
    smallest = descent.smallest()
    for attempt, reach in enumerate(REACHES):
        if smallest >= floor:
            break
        course.held_back += attempt == 0
        descent.hold_back(floor, reach, still=attempt >= len(REACHES) - 2)
        descent.propose(scale, CAP)
        smallest = descent.smallest()
    if smallest < floor:
        course.refused += 1
        return
    if smallest < CAUTION * floor:
        descent.hold_back(CAUTION * floor, REACHES[0], still=False)
    descent.accept()
    course.smallest = smallest

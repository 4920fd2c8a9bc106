"""The loop and its step control, on a descent that says what it was asked."""

import time

from common.refine.optimiser import CAUTION, FLOOR, REACHES, descend


class Scripted:
    """Answers with the smallest determinants it was given, one for each proposal."""

    def __init__(self, smallest, rms=2.0):
        self.answers, self.length, self.calls = iter([0.7, *smallest]), rms, []

    def force(self):
        self.calls.append("force")
        return 0.5

    def rms(self):
        return self.length

    def pull(self, scale):
        pass

    def propose(self, scale, cap):
        self.calls.append(("propose", round(scale, 6)))

    def smallest(self):
        return next(self.answers)

    def hold_back(self, floor, reach, still):
        self.calls.append(("hold back", floor, reach, still))

    def accept(self):
        self.calls.append("accept")


def test_steps_have_their_mean_length_and_shrink_towards_the_end():
    descent = Scripted([1.0] * 5)
    course = descend(descent, 5, 0.5)
    assert [call[1] for call in descent.calls if call[0] == "propose"] == [0.25, 0.25, 0.25, 0.25, 0.075]
    assert (len(course.similarity), course.smallest, course.held_back, course.refused) == (5, 1.0, 0, 0)


def test_a_step_that_would_fold_is_proposed_again_with_less():
    descent = Scripted([FLOOR / 2, 1.0])
    course = descend(descent, 1, 0.5)
    assert descent.calls[2:] == [("hold back", FLOOR, REACHES[0], False), descent.calls[1], "accept"]
    assert (course.held_back, course.refused) == (1, 0)


def test_a_step_that_folds_whatever_is_held_back_is_refused():
    descent = Scripted([-1.0] * (1 + len(REACHES)))
    course = descend(descent, 1, 0.5)
    assert "accept" not in descent.calls
    assert [call[3] for call in descent.calls if call[0] == "hold back"] == [False, False, True, True]
    assert (course.held_back, course.refused) == (1, 1)


def test_cells_near_the_floor_are_held_back_before_they_reach_it():
    descent = Scripted([2 * FLOOR])
    descend(descent, 1, 0.5)
    assert descent.calls[2:] == [("hold back", CAUTION * FLOOR, REACHES[0], False), "accept"]


def test_nothing_to_follow_and_no_time_left_end_the_level():
    assert descend(Scripted([], rms=0.0), 5, 0.5).similarity == [0.5]
    late = descend(Scripted([]), 5, 0.5, deadline=time.perf_counter() - 1)
    assert (late.similarity, late.smallest) == ([], 0.7), "the start's own determinant"


def test_a_watcher_hears_of_each_iteration():
    heard = []
    descend(Scripted([0.9, 0.8]), 2, 0.5, watch=lambda similarity, smallest: heard.append((similarity, smallest)))
    assert heard == [(0.5, 0.9), (0.5, 0.8)]

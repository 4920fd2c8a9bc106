"""The kernels, held to the same moves in PyTorch and double precision."""

import pytest
import torch

from common.refine.compiled_descent import CompiledDescent, can_descend_compiled
from common.refine.descent import PlainDescent
from common.refine.determinants import cell_determinants
from tests.common.refine.phantom import level

pytest.importorskip("numba")

CASES = {
    "approximate": {},
    "exact": {"exact": True, "radius": 3, "sigma": 1.0},
    "wide force smoothing": {"sigma": 1.5},
    "unsmoothed force": {"sigma": 0.0},
    "two channels": {"channels": 2},
    "masked": {"masked": True},
    "masked, exact": {"masked": True, "exact": True},
    "two windows": {"parts": 2},
    "features": {"kind": "features", "channels": 12},
    "features in two groups": {"kind": "features", "channels": 3, "parts": 2},
    "rows of two vectors": {"shape": (18, 19, 30)},
    "larger than a job": {"shape": (50, 17, 18)},
}


def three_steps(descent):
    """Similarities, lengths of the force and smallest determinants of three steps, and the field."""
    figures = []
    for _ in range(3):
        similarity, rms = descent.force(), descent.rms()
        descent.propose(0.3 / rms, 0.5)
        figures.append((similarity, rms, descent.smallest()))
        descent.accept()
    return torch.tensor(figures, dtype=torch.float64), descent.field()


@pytest.mark.parametrize("case", CASES)
def test_equals_the_plain_moves_in_double_precision(case):
    figures, field = three_steps(CompiledDescent(level(**CASES[case])))
    expected, oracle = three_steps(PlainDescent(level(**CASES[case], dtype=torch.float64)))
    torch.testing.assert_close(figures, expected, rtol=2e-4, atol=2e-5)
    assert float((field - level(**CASES[case]).field).norm()) > 1, "the field has to move for a comparison"
    torch.testing.assert_close(field.double(), oracle, rtol=0, atol=3e-4)


@pytest.mark.parametrize("case", ["approximate", "exact", "features", "larger than a job"])
def test_same_bits_for_every_number_of_threads(case):
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(three_steps(CompiledDescent(level(**CASES[case])))[1])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


@pytest.mark.parametrize("still", [False, True])
def test_holds_back_where_the_plain_moves_do(still):
    one, other = CompiledDescent(level()), PlainDescent(level(dtype=torch.float64))
    floor = 0.6
    for descent in (one, other):
        descent.force()
        scale = 2.0 / descent.rms()
        descent.propose(scale, 0.9)
        assert descent.smallest() < floor
        descent.hold_back(floor, 2.0, still)
        descent.propose(scale, 0.9)
        descent.accept()
    torch.testing.assert_close(one.field().double(), other.field(), rtol=0, atol=3e-4)


def test_smallest_is_that_of_the_proposed_field():
    descent = CompiledDescent(level())
    descent.force()
    descent.propose(0.3 / descent.rms(), 0.5)
    smallest = descent.smallest()
    descent.accept()
    assert smallest == pytest.approx(float(cell_determinants(descent.field()[0]).min()), abs=1e-6)


def test_voxels_without_weight_keep_their_field_bit_by_bit():
    start = level()
    descent = CompiledDescent(start)
    three_steps(descent)
    still = (start.drive == 0).expand(1, 3, -1, -1, -1)
    assert torch.equal(descent.field()[still], start.field[still])


def test_double_precision_is_left_to_pytorch():
    assert can_descend_compiled(level())
    assert not can_descend_compiled(level(dtype=torch.float64))

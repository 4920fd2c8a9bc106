"""The papers' ways of going through training pairs."""

import pytest
import torch

from common.errors import InputError
from common.training.pairing import check_pairing, paired


def pairs(how: str, items: int, subjects: int, seed: int = 0) -> list[tuple[int, int]]:
    return [paired(how, n, subjects, seed, torch.Generator().manual_seed(n)) for n in range(items)]


@pytest.mark.parametrize(("subjects", "total"), [(2, 2), (5, 20), (30, 870), (42, 1722)])
def test_an_epoch_of_ordered_pairs_has_each_once_and_none_of_one_person(subjects: int, total: int) -> None:
    epochs = pairs("ordered", 2 * total, subjects)
    first, second = epochs[:total], epochs[total:]
    wanted = {(a, b) for a in range(subjects) for b in range(subjects) if a != b}
    assert len(wanted) == total and set(first) == set(second) == wanted
    assert total == 2 or (first != second and first != pairs("ordered", total, subjects, seed=1))


@pytest.mark.parametrize(("how", "side"), [("to_atlas", 1), ("from_atlas", 0)])
def test_an_atlas_keeps_its_side_and_meets_everybody_once(how: str, side: int) -> None:
    found = pairs(how, 8, 9)
    assert {pair[side] for pair in found} == {0} and {pair[1 - side] for pair in found} == set(range(1, 9))


def test_drawn_pairs_may_be_of_one_person() -> None:
    found = pairs("drawn", 300, 4)
    assert len(set(found)) == 16 and any(a == b for a, b in found)


def test_one_subject_alone_is_its_own_partner() -> None:
    assert pairs("ordered", 2, 1) == [(0, 0), (0, 0)]


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(
        InputError, match="pairing: expected one of drawn, ordered, to_atlas, from_atlas, taught, got 'all'"
    ):
        check_pairing("all")

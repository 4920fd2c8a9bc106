"""The brain in a CT of a head: in any orientation, with the top cut off."""

import numpy as np
import pytest

from common.geometry import reorient
from common.registration.brain_ct import extract_from_ct
from tests.common.registration.skull import head_ct


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("code", ["RAS", "LPI", "AIR"])
def test_what_the_skull_encloses_is_found(code: str):
    volume, inside, affine = head_ct()
    turned, turned_affine = reorient(volume, affine, code)
    mask = extract_from_ct(turned, turned_affine)
    assert dice(mask, reorient(inside, affine, code)[0]) > 0.97


def test_a_head_without_its_top():
    volume, inside, affine = head_ct()
    mask = extract_from_ct(volume[:, :, :86], affine)
    assert inside[:, :, 86:].any()
    assert dice(mask, inside[:, :, :86]) > 0.95


def test_where_nothing_is_enclosed_nothing_is_found():
    volume, _, affine = head_ct()
    assert not extract_from_ct(np.minimum(volume, 60.0), affine).any()

"""Regions filled from around them."""

import numpy as np
import pytest

from common.geometry.filling import fill_from_surroundings


@pytest.mark.parametrize("seed", range(4))
def test_what_was_inside_does_not_count(seed: int):
    generator = np.random.default_rng(seed)
    volume, region = generator.normal(size=(9, 8, 7)), generator.random((9, 8, 7)) < 0.3
    other = np.where(region, generator.normal(size=volume.shape) * 100, volume)
    assert np.array_equal(fill_from_surroundings(volume, region), fill_from_surroundings(other, region))
    assert np.array_equal(fill_from_surroundings(volume, region)[~region], volume[~region])


def test_the_nearest_in_millimetres_is_taken():
    volume = np.zeros((3, 3, 1))
    volume[1, 0], volume[0, 1] = 5, 7
    volume[2, 1], volume[1, 2] = 7, 5
    region = np.zeros(volume.shape, dtype=bool)
    region[1, 1] = True
    assert fill_from_surroundings(volume, region, (1.0, 3.0, 1.0))[1, 1, 0] == 7
    assert fill_from_surroundings(volume, region, (3.0, 1.0, 1.0))[1, 1, 0] == 5


def test_nothing_and_everything_stay():
    volume = np.arange(8.0).reshape(2, 2, 2)
    assert fill_from_surroundings(volume, volume < -1) is volume
    assert fill_from_surroundings(volume, volume > -1) is volume

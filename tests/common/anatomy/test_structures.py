"""The names of the structures and the channels that they stand in."""

import torch

from common.anatomy import STRUCTURES, channels_of
from common.anatomy.structures import described


def test_left_and_right_share_a_channel_and_the_rest_is_background():
    channels = channels_of([0, 2, 41, 17, 53, 24, 9999])
    assert channels.tolist() == [0, 1, 1, 14, 14, 0, 0]


def test_every_number_stands_once():
    numbers = [number for numbers in STRUCTURES.values() for number in numbers]
    assert len(numbers) == len(set(numbers)) == 31


def test_a_description_joins_the_ventricles_and_drops_the_background():
    probabilities = torch.rand(1, 18, 2, 3, 4).softmax(dim=1)
    maps = described(probabilities)
    assert maps.shape == (1, 16, 2, 3, 4)
    torch.testing.assert_close(maps.sum(1), 1 - probabilities[:, 0])
    torch.testing.assert_close(maps[:, 2], probabilities[:, 3] + probabilities[:, 4])
    torch.testing.assert_close(maps[:, -1], probabilities[:, -1])

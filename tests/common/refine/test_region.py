"""Boxes and weights around the foreground."""

import torch

from common.refine.region import Box, box_around, foreground, nearness


def ball(shape=(40, 32, 36)):
    mask = torch.zeros(1, 1, *shape)
    mask[..., 10:20, 8:20, 4:30] = 1
    return mask


def test_box_holds_the_mask_and_its_margin_and_can_be_divided():
    box = box_around(ball(), 6, 8)
    assert box.size == (24, 24, 40)
    assert all(n % 8 == 0 for n in box.size)
    cut = box.cut(ball())
    assert cut.shape[2:] == box.size
    assert float(cut.sum()) == float(ball().sum())
    assert all(float(cut.select(axis, index).sum()) == 0 for axis in (2, 3, 4) for index in (0, 5, -1))


def test_paste_is_the_way_back():
    volume = torch.randn(1, 3, 40, 32, 36)
    box = Box((-4, 3, 20), (16, 8, 24))
    assert torch.equal(box.paste(box.cut(volume), volume), volume)
    changed = box.paste(box.cut(volume) + 1, volume)
    assert int((changed != volume).sum()) == 3 * 12 * 8 * 16, "what lies beyond the grid is dropped"


def test_an_empty_mask_gives_the_whole_grid():
    assert box_around(torch.zeros(1, 1, 16, 16, 16), 0, 8) == Box((0, 0, 0), (16, 16, 16))


def test_nearness_falls_from_one_to_zero():
    box = box_around(ball(), 14, 8)
    weight = nearness(box.cut(ball()), 2, 14)
    assert float(weight[box.cut(ball()) > 0].min()) == 1
    assert all(float(weight.select(axis, index).max()) == 0 for axis in (2, 3, 4) for index in (0, 1, -2, -1))
    assert float(weight.min()) >= 0 and float(weight.max()) <= 1
    assert float(weight.diff(dim=2).abs().max()) < 0.3, "the field has to fall off gently"


def test_foreground_of_any_channel():
    images = torch.cat([ball(), torch.roll(ball(), 5, dims=2)], dim=1)
    assert torch.equal(foreground(images), images.amax(1, keepdim=True) > 0)

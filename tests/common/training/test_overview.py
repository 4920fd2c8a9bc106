import torch

from common.training.overview import overview


def test_four_slices_side_by_side() -> None:
    pair, ddf = torch.rand(1, 2, 6, 5, 4), torch.zeros(1, 3, 6, 5, 4)
    ddf[:, 0] = 1.0
    drawn = overview(pair, ddf)
    assert drawn.shape == (5, 24)
    moving, moved = drawn[:, :6].flip(0).T, drawn[:, 12:18].flip(0).T
    torch.testing.assert_close(moved[:-1], moving[1:])  # moved(x) = moving(x + 1)

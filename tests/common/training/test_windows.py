import pytest
import torch

from common.errors import InputError
from common.training.windows import check_window, random_corner


def test_corners_lie_inside_and_more_often_in_the_middle() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.tensor([random_corner([10, 6, 4], [4, 6, 1], generator) for _ in range(2000)])
    assert drawn.amin(0).tolist() == [0, 0, 0] and drawn.amax(0).tolist() == [6, 0, 3]
    counts = torch.bincount(drawn[:, 0], minlength=7)
    assert counts[3] > 2 * counts[0] and counts[3] > 2 * counts[6]


@pytest.mark.parametrize("window", [[8, 32, 8], [8, 8], [0, 8, 8], [-8, 8, 8]])
def test_windows_outside_are_refused(window: list[int]) -> None:
    with pytest.raises(InputError, match=r"crop expects a window inside of the grid \(16, 16, 16\), got \["):
        check_window("crop", window, (16, 16, 16))
    check_window("crop", [16, 1, 8], (16, 16, 16))

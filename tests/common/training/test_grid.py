import pytest
import torch

from common.errors import InputError
from common.training.grid import Frame, TrainingGrid


def test_the_frame_holds_everything_that_is_anatomy() -> None:
    volume = torch.zeros(20, 20, 20)
    volume[3:9, 10:20, 5:7] = 1
    grid = TrainingGrid(2.0, [8, 12, 4])
    framed = grid.around([volume]).of(volume)
    assert framed.shape == (8, 12, 4) and framed.sum() == volume.sum()
    assert Frame([-2, 0, 18], [6, 20, 6]).of(volume).shape == (6, 20, 6)


@pytest.mark.parametrize(
    ("options", "axis", "advice"),
    [
        ({"size": [16, 16, 32]}, "axis 1 needs 17 voxels at 2 mm", "[16, 32, 32]"),
        ({"size": [16, 16, 16], "multiple": 8}, "axis 1 needs 17 voxels", "[16, 24, 32]"),
        ({"size": [16, 16, 16], "cube": True}, "axis 1 needs 17 voxels", "[32, 32, 32]"),
    ],
)
def test_a_size_that_is_too_small_is_answered_with_one_that_works(options: dict, axis: str, advice: str) -> None:
    volume = torch.zeros(40, 40, 40)
    volume[2:12, 3:20, 1:31] = 1
    with pytest.raises(InputError) as caught:
        TrainingGrid(2.0, **{"multiple": 16, **options}).around([volume])
    assert axis in str(caught.value) and str(caught.value).endswith(f'it fits into --size "{advice}"')
    size = [int(n) for n in advice.strip("[]").split(",")]
    TrainingGrid(2.0, **{"multiple": 16, **options, "size": size}).around([volume])


def test_a_finer_grid_has_the_same_extent_and_advises_in_the_sizes_of_the_configuration() -> None:
    finer = TrainingGrid(2.0, [16, 16, 16], multiple=16).finer(2)
    assert (finer.voxel, finer.size, finer.multiple) == ((1.0, 1.0, 1.0), [32, 32, 32], 32)
    volume = torch.zeros(40, 40, 40)
    volume[:33, :30, :30] = 1
    with pytest.raises(InputError, match=r'axis 0 needs 33 voxels at 1 mm; it fits into --size "\[32, 16, 16\]"'):
        finer.around([volume])


@pytest.mark.parametrize(
    ("options", "size"),
    [({}, [48, 32, 32]), ({"cube": True}, [48, 48, 48]), ({"multiple": 32}, [64, 32, 32])],
)
def test_without_a_size_the_least_that_holds_everything_is_taken(options: dict, size: list) -> None:
    volume = torch.zeros(60, 60, 60)
    volume[5:45, 20:30, 1:30] = 1
    frame = TrainingGrid(2.0, None, **{"multiple": 16, **options}).around([volume])
    assert frame.size == size and frame.of(volume).sum() == volume.sum()
    finer = TrainingGrid(2.0, None, **{"multiple": 16, **options}).finer(2).around([volume])
    assert all(n % 32 == 0 and n >= 64 for n in finer.size)


def test_a_size_that_may_cut_takes_the_middle_of_the_foreground_and_stays_inside() -> None:
    volume = torch.zeros(40, 40, 40)
    volume[10:40, 3:20, 0:40] = 1
    frame = TrainingGrid(2.0, [16, 32, 32], multiple=16, may_cut=True).around([volume])
    assert frame == Frame([17, 0, 4], [16, 32, 32]) and frame.of(volume).shape == (16, 32, 32)


def test_voxels_may_have_three_sides() -> None:
    grid = TrainingGrid([1.375, 1.625, 1.5], [128, 128, 128], multiple=16, cube=True)
    assert grid.voxel == (1.375, 1.625, 1.5) and grid.finer(2).voxel == (0.6875, 0.8125, 0.75)
    for spacing in ([1.0, 2.0], [1.0, 0.0, 1.0], -1.0):
        with pytest.raises(InputError, match="spacing: expected one number of mm or three, all above zero"):
            TrainingGrid(spacing, [16, 16, 16])


@pytest.mark.parametrize(
    ("size", "options", "wanted"),
    [
        ([80, 96], {}, "three multiples of 1"),
        ([80, 90, 96], {"multiple": 16}, "three multiples of 16"),
        ([80, 96, 96], {"multiple": 16, "cube": "true"}, "three equal multiples of 16"),
        ([0, 16, 16], {"multiple": 16}, "three multiples of 16"),
        ([16.5, 16, 16], {}, "three multiples of 1"),
    ],
)
def test_a_size_that_the_network_cannot_take_is_refused(size: list, options: dict, wanted: str) -> None:
    with pytest.raises(InputError) as caught:
        TrainingGrid(2.0, size, **options)
    assert str(caught.value) == f"size: this network expects {wanted}, got {size}"

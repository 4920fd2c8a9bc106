import pytest
import torch

from common.errors import InputError
from common.training.grid import TrainingGrid


def test_the_frame_holds_everything_that_is_anatomy() -> None:
    volume = torch.zeros(20, 20, 20)
    volume[3:9, 10:20, 5:7] = 1
    grid = TrainingGrid(2.0, [8, 12, 4])
    framed = grid.framed(volume, grid.start_around([volume]))
    assert framed.shape == (8, 12, 4) and framed.sum() == volume.sum()
    assert TrainingGrid(2.0, [6, 20, 6]).framed(volume, [-2, 0, 18]).shape == (6, 20, 6)


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
        TrainingGrid(2.0, **{"multiple": 16, **options}).start_around([volume])
    assert axis in str(caught.value) and str(caught.value).endswith(f'it fits into --size "{advice}"')
    size = [int(n) for n in advice.strip("[]").split(",")]
    TrainingGrid(2.0, **{"multiple": 16, **options, "size": size}).start_around([volume])


def test_a_finer_grid_has_the_same_extent_and_advises_in_the_sizes_of_the_configuration() -> None:
    finer = TrainingGrid(2.0, [16, 16, 16], multiple=16).finer(2)
    assert (finer.spacing, finer.size, finer.multiple) == (1.0, [32, 32, 32], 32)
    volume = torch.zeros(40, 40, 40)
    volume[:33, :30, :30] = 1
    with pytest.raises(InputError, match=r'axis 0 needs 33 voxels at 1 mm; it fits into --size "\[32, 16, 16\]"'):
        finer.start_around([volume])


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

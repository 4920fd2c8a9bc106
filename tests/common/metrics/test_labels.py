import numpy as np
import pytest
import torch
from torch.nn import functional as F

from common.errors import InputError
from common.metrics import sampling_positions, warp_labels_linear, warp_labels_nearest
from common.spatial import warp
from tests.conftest import smooth_ddf

SHAPE = (12, 14, 10)


def blobs(shape: tuple[int, int, int] = SHAPE, classes: int = 5) -> np.ndarray:
    coarse = torch.randn(1, classes, 4, 4, 4, generator=torch.Generator().manual_seed(3))
    smooth = F.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)
    return smooth.argmax(1)[0].numpy().astype(np.uint8)


@pytest.mark.parametrize("amplitude", [0.0, 1.5, 6.0])
def test_linear_vote_equals_argmax_of_warped_one_hot(amplitude: float) -> None:
    labels, ddf = blobs(), smooth_ddf(SHAPE, amplitude)
    winner, value = warp_labels_linear(labels, sampling_positions(ddf[0].numpy()))
    one_hot = F.one_hot(torch.from_numpy(labels).long(), 5).permute(3, 0, 1, 2)[None].double()
    warped = warp(one_hot, ddf.double())[0].numpy()
    # Equal up to the rounding of float32 positions: where the two best classes are apart, the winner is the same.
    best = np.sort(warped, axis=0)
    clear = best[-1] - best[-2] > 1e-4
    assert clear.mean() > 0.7
    assert (winner == warped.argmax(0))[clear].all()
    assert np.abs(value - warped.max(0)).max() < 1e-4


def test_linear_ties_go_to_the_lowest_label_as_argmax_does() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[2:] = 3
    labels[:2] = 7
    ddf = np.zeros((3, 4, 4, 4), np.float32)
    ddf[0, 1] = 0.5
    winner, value = warp_labels_linear(labels, sampling_positions(ddf))
    assert (winner[1] == 3).all() and (value[1] == 0.5).all()
    assert (winner[0] == 7).all() and (winner[2] == 3).all()


@pytest.mark.parametrize("amplitude", [0.0, 1.5, 6.0])
def test_nearest_equals_the_projects_warp(amplitude: float) -> None:
    labels, ddf = blobs(), smooth_ddf(SHAPE, amplitude)
    moved = warp_labels_nearest(labels, sampling_positions(ddf[0].numpy()))
    expected = warp(torch.from_numpy(labels).float()[None, None], ddf, mode="nearest")[0, 0].numpy()
    assert moved.dtype == labels.dtype
    assert (moved == expected).mean() > 0.999


def test_pairs_on_two_grids() -> None:
    labels = blobs((8, 9, 10))
    # The fixed grid starts two voxels further along axis 0 and has half the spacing along axis 2.
    fixed_to_moving = np.diag([1.0, 1.0, 0.5, 1.0])
    fixed_to_moving[0, 3] = 2
    positions = sampling_positions(np.zeros((3, 5, 9, 20), np.float32), fixed_to_moving)
    nearest = warp_labels_nearest(labels, positions)
    linear, _ = warp_labels_linear(labels, positions)
    assert nearest.shape == linear.shape == (5, 9, 20)
    assert (nearest[:, :, ::2] == labels[2:7]).all()
    assert (linear[:, :, ::2] == labels[2:7]).all()


def test_outside_is_background() -> None:
    labels = np.full((4, 4, 4), 2, np.uint8)
    positions = sampling_positions(np.full((3, 4, 4, 4), 1e9, np.float32))
    assert not warp_labels_nearest(labels, positions).any()
    winner, value = warp_labels_linear(labels, positions)
    assert not winner.any() and not value.any()


def test_a_field_of_another_layout_is_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(3, X, Y, Z\) is expected, got \(4, 4, 4, 3\)"):
        sampling_positions(np.zeros((4, 4, 4, 3), np.float32))

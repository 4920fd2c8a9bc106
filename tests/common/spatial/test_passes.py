from typing import Any

import pytest
import torch
from torch.nn.functional import avg_pool3d

from common.errors import InputError
from common.registration import AutocastInferer
from common.spatial import compose, resize_ddf, warp
from common.spatial.passes import coarse_to_fine, further_pass
from tests.common.training.tiny import TinyNetwork


@pytest.fixture
def pair() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(2, 2, 12, 16, 8, generator=generator)


def test_a_further_pass_sees_the_warped_moving_image_and_joins_the_fields(pair: torch.Tensor) -> None:
    torch.manual_seed(0)
    network = TinyNetwork().eval()
    with torch.no_grad():
        first = network(pair)
        residual = network.fields(torch.cat([warp(pair[:, :1], first), pair[:, 1:]], dim=1))
        joined = further_pass(network.fields, pair, first)
    torch.testing.assert_close(joined["ddf"], compose(first, residual["ddf"]))
    torch.testing.assert_close(joined["velocity"], residual["velocity"])
    torch.testing.assert_close(further_pass(network, pair, first), joined["ddf"])


def test_what_is_aligned_stays_as_it_is(pair: torch.Tensor) -> None:
    ddf = torch.rand(2, 3, 12, 16, 8)
    torch.testing.assert_close(further_pass(lambda seen: torch.zeros_like(seen[:, [0, 0, 0]]), pair, ddf), ddf)


@pytest.mark.parametrize("amp", [False, True])
def test_the_inferer_looks_as_often_as_it_is_told(pair: torch.Tensor, amp: bool) -> None:
    torch.manual_seed(0)
    network = TinyNetwork().eval()
    once, thrice = AutocastInferer(amp)(pair, network), AutocastInferer(amp, passes=[1, 1, 1])(pair, network)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=amp):
        twice = further_pass(lambda seen: network(seen).float(), pair, once)
        expected = further_pass(lambda seen: network(seen).float(), pair, twice)
    torch.testing.assert_close(thrice, expected)
    assert not torch.allclose(once, thrice) and thrice.dtype == torch.float32


def test_a_coarse_pass_comes_before_a_fine_one(pair: torch.Tensor) -> None:
    seen: list[tuple[int, ...]] = []

    def shift(images: torch.Tensor) -> torch.Tensor:
        """One voxel of its own grid along the first axis."""
        seen.append(tuple(images.shape[2:]))
        ddf = torch.zeros_like(images[:, [0, 0, 0]])
        ddf[:, 0] = 1.0
        return ddf

    ddf = coarse_to_fine(shift, pair, [4, 2, 1])
    assert seen == [(3, 4, 2), (6, 8, 4), (12, 16, 8)]
    assert ddf.shape == (2, 3, 12, 16, 8)
    # Four, two and one voxels of the finest grid, where no pass looks outside of the one before.
    torch.testing.assert_close(ddf[:, 0, :4], torch.full_like(ddf[:, 0, :4], 7.0))
    assert ddf[:, 1:].abs().max() == 0
    torch.testing.assert_close(coarse_to_fine(shift, pair, [2])[:, 0], torch.full_like(ddf[:, 0], 2.0))


def test_the_finest_pass_sees_what_the_coarse_field_leaves(pair: torch.Tensor) -> None:
    torch.manual_seed(0)
    network = TinyNetwork().eval()
    with torch.no_grad():
        coarse = resize_ddf(network(avg_pool3d(pair, 2)), (12, 16, 8))
        torch.testing.assert_close(coarse_to_fine(network, pair, [2, 1]), further_pass(network, pair, coarse))


def test_sides_that_a_pass_does_not_divide_are_refused(pair: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"passes \[5, 1\]: expected sides that they divide, got \(12, 16, 8\)"):
        coarse_to_fine(lambda seen: seen, pair, [5, 1])


@pytest.mark.parametrize("wrong", [0, [], [2, 0], [1.5], "2,1", [True]])
def test_other_passes_are_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"passes: expected a list of whole numbers of at least 1.*got"):
        AutocastInferer(passes=wrong)

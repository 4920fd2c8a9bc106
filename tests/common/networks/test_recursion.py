import pytest
import torch

from common.bundle import AutocastInferer
from common.errors import InputError
from common.networks.recursion import further_pass
from common.spatial import compose, warp
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
    once, thrice = AutocastInferer(amp)(pair, network), AutocastInferer(amp, passes=3)(pair, network)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=amp):
        twice = further_pass(lambda seen: network(seen).float(), pair, once)
        expected = further_pass(lambda seen: network(seen).float(), pair, twice)
    torch.testing.assert_close(thrice, expected)
    assert not torch.allclose(once, thrice) and thrice.dtype == torch.float32


def test_no_pass_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="passes: expected a whole number of at least 1, got 0"):
        AutocastInferer(passes=0)

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from common.networks.xmorpher import XMorpher
from tests.common.networks import contract
from tests.conftest import shared_path
from tests.parity import check_parity, load_config, load_network

SMALL = {"embed_dim": 12, "depths": [1, 1, 2, 1]}
TINY = {"embed_dim": 6, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 2], "mlp_ratio": 2.0}
TINY_SHAPE = (20, 16, 36)


@pytest.mark.parametrize(
    ("count", "arguments"),
    [
        (15_093_891, {}),
        (14_798_595, {"unused_weights": False}),
        (8_395_779, {"depths": [2, 2, 2, 2], "mlp_ratio": 2}),
    ],
)
def test_parameter_counts_of_the_papers(count, arguments):
    with torch.device("meta"):
        network = XMorpher(**arguments)
    assert sum(p.numel() for p in network.parameters()) == count


def test_equals_the_authors_code():
    # The authors' warp is not the project's: their moved image is compared below.
    check_parity(XMorpher(**SMALL), "xmorpher", skip=["moved", "displacement_all27"])


def load_fixture(network):
    config = load_config("xmorpher")
    io = np.load(shared_path("parity/xmorpher/io.npz"))
    pair = torch.cat([torch.from_numpy(io["moving"]), torch.from_numpy(io["fixed"])], dim=1)
    with torch.no_grad():
        return io, config["tolerance"], pair, load_network(network, config)(pair)


def test_filled_window_equals_the_repaired_code():
    io, tolerance, _, ddf = load_fixture(XMorpher(**SMALL, fill_all_neighbours=True))
    error = ddf[..., ::3, ::3, ::3].numpy() - io["displacement_all27"]
    assert abs(error).max() <= tolerance["displacement_all27"]["max_abs"]
    assert (error**2).mean() ** 0.5 <= tolerance["displacement_all27"]["rms"]


def test_the_authors_warp_of_our_field_gives_their_moved_image():
    io, tolerance, pair, ddf = load_fixture(XMorpher(**SMALL))
    size = ddf.shape[2:]
    index = torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in size], indexing="ij"))
    scaled = [(ddf[:, k] + index[k]) / (size[k] - 1) * 2 - 1 for k in (2, 1, 0)]
    moved = F.grid_sample(pair[:, :1], torch.stack(scaled, dim=-1), align_corners=False)
    error = moved.numpy() - io["moved"]
    assert abs(error).max() <= tolerance["moved"]["max_abs"]


@pytest.mark.parametrize("shape", [(4, 4, 4), (7, 13, 18), (33, 4, 9)])
def test_any_volume(shape):
    with torch.no_grad():
        ddf = XMorpher(**TINY).eval()(contract.random_pair(shape))
    assert ddf.shape == (1, 3, *shape) and torch.isfinite(ddf).all()


def test_every_trainable_weight_learns():
    network = XMorpher(**TINY, drop_path_rate=0.0).train()
    network(contract.random_pair(TINY_SHAPE)).square().sum().backward()
    # A key's bias moves all scores of a query alike and cannot change a softmax: its gradient is zero but for rounding.
    idle = [n for n, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not idle
    assert all(p.grad is None for p in network.parameters() if not p.requires_grad)


def test_batch_equals_singles():
    contract.check_batch_equals_singles(XMorpher(**TINY), TINY_SHAPE)


def test_autocast():
    contract.check_autocast(XMorpher(**TINY), TINY_SHAPE, tolerance=0.1)


def test_trace():
    contract.check_trace(XMorpher(**TINY), TINY_SHAPE)


def test_checkpointing_changes_no_gradient():
    contract.check_checkpointing(XMorpher(**TINY), XMorpher(**TINY, checkpointing=True), TINY_SHAPE)


def test_refuses_what_is_no_pair_or_too_small():
    contract.check_bad_pairs(XMorpher(**TINY), [(1, 1, 16, 16, 16), (1, 2, 16, 3, 16), (2, 16, 16, 16)])

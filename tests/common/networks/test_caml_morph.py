import numpy as np
import pytest
import torch

from common.blocks.cross_unet import Hooks, swap_streams
from common.networks.caml_morph import CAMLMorph
from common.networks.xmorpher import XMorpher
from common.spatial import warp
from tests.common.networks import contract
from tests.conftest import shared_path, smooth_ddf
from tests.parity import load_config, load_network
from tools.key_map import load_key_map

OFF = {"caml": False, "rbsc": False, "carsc": False}
TINY = {"embed_dim": 6, "depths": [1, 2, 1, 1], "num_heads": [1, 2, 2, 2], "mlp_ratio": 2.0, "drop_path_rate": 0.0}
TINY_SHAPE = (20, 16, 36)


def awake(network):
    """Give the weights that start at zero or near it some influence."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("norm2.weight") and "block" not in name.split(".")[:-3]:
                parameter.normal_(1.0, 0.1)
    return contract.scramble(network, 0.02)


@pytest.mark.parametrize(
    ("caml", "rbsc", "carsc", "count"),
    [
        (False, False, False, 14_798_595),
        (True, False, False, 14_994_819),
        (False, True, False, 17_412_675),
        (False, False, True, 17_413_011),
        (True, True, False, 17_608_899),
        (True, False, True, 17_609_235),
        (False, True, True, 20_027_091),
        (True, True, True, 20_223_315),
    ],
)
def test_parameter_counts_of_the_ablation(caml, rbsc, carsc, count):
    with torch.device("meta"):
        network = CAMLMorph(caml=caml, rbsc=rbsc, carsc=carsc)
    assert sum(p.numel() for p in network.parameters()) == count


def test_all_off_is_xmorpher_as_published():
    network = CAMLMorph(12, [1, 1, 2, 1], **OFF, unused_weights=True, fill_all_neighbours=False)
    config = load_config("xmorpher")
    load_network(network, config, load_key_map("XMorpher"))
    assert network.state_dict().keys() == XMorpher(12, [1, 1, 2, 1]).state_dict().keys()
    io = np.load(shared_path("parity/xmorpher/io.npz"))
    with torch.no_grad():
        ddf = network(torch.cat([torch.from_numpy(io["moving"]), torch.from_numpy(io["fixed"])], dim=1))
    error = ddf.numpy() - io["displacement"]
    assert abs(error).max() <= config["tolerance"]["displacement"]["max_abs"]
    assert (error**2).mean() ** 0.5 <= config["tolerance"]["displacement"]["rms"]


def test_residual_skips_start_as_the_identity():
    plain, skips = CAMLMorph(**TINY, **OFF), CAMLMorph(**TINY, **{**OFF, "rbsc": True})
    skips.load_state_dict(plain.state_dict(), strict=False)
    for network in (plain, skips):
        torch.manual_seed(1)
        contract.scramble(network)
    pair = contract.random_pair(TINY_SHAPE)
    with torch.no_grad():
        assert torch.equal(plain(pair), skips(pair))


def test_carry_of_weight_zero_is_a_plain_recursion():
    plain, carrying = CAMLMorph(**TINY, carry=False), CAMLMorph(**TINY)
    carrying.load_state_dict(awake(plain).state_dict(), strict=False)
    carrying.eval()
    pair = contract.random_pair(TINY_SHAPE)
    with torch.no_grad():
        different = carrying(pair)
        for module in carrying.carry:
            module.gamma.zero_()
        torch.testing.assert_close(carrying(pair), plain(pair), atol=1e-6, rtol=0)
    assert not torch.allclose(different, plain(pair), atol=1e-4)


def test_starts_at_the_identity():
    network, pair = CAMLMorph(**TINY).eval(), contract.random_pair(TINY_SHAPE)
    contract.check_starts_at_identity(network, TINY_SHAPE)
    with torch.no_grad():
        ddf = network(pair)
    assert ddf.abs().max() < 1e-3
    torch.testing.assert_close(warp(pair[:, :1], ddf, padding="border"), pair[:, :1], atol=1e-3, rtol=0)


def test_swapped_images_give_swapped_encodings():
    network = awake(CAMLMorph(**TINY))
    images = torch.rand(2, 1, 1, *TINY_SHAPE)
    hooks = Hooks(encoder_finer=list(network.encoder_finer))
    with torch.no_grad():
        one = network.backbone.encode(network.backbone.embed(images[0], images[1]), hooks)
        other = network.backbone.encode(network.backbone.embed(images[1], images[0]), hooks)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(swap_streams(a), b)


def test_the_passes_are_composed():
    network = CAMLMorph(**TINY)
    steps = iter([smooth_ddf(TINY_SHAPE), torch.full((1, 3, *TINY_SHAPE), 0.5)])
    features = [torch.zeros(2, 5 // 2**i + 5 % 2**i, 4 // 2**i, 9, 6 * 2**i) for i in range(4)]
    network.backbone.forward = lambda *_: (next(steps), features)
    network.carry = torch.nn.ModuleList()
    fields = network.fields(torch.rand(1, 2, *TINY_SHAPE))
    first, second = smooth_ddf(TINY_SHAPE), torch.full((1, 3, *TINY_SHAPE), 0.5)
    assert torch.equal(fields["ddf_pass1"], first)
    torch.testing.assert_close(fields["ddf"], second + warp(first, second, padding="border"))


@pytest.mark.parametrize(
    "options",
    [
        {"caml_blocks": "all"},
        {"caml_stages": "encoder"},
        {"caml_stages": "decoder", "caml_merge": "gate"},
        {"caml_merge": "gate", "rbsc_norm": "group"},
        {"rbsc_norm": "batch", "share_weights": False},
        {"num_passes": 3},
    ],
)
def test_every_option_moves_something_else(options):
    pair = contract.random_pair(TINY_SHAPE)
    torch.manual_seed(3)
    standard = awake(CAMLMorph(**TINY))
    torch.manual_seed(3)
    network = awake(CAMLMorph(**TINY, **options))
    network.load_state_dict(standard.state_dict(), strict=False)
    with torch.no_grad():
        assert not torch.allclose(network(pair), standard(pair), atol=1e-5)
    assert len(network.fields(pair)) == options.get("num_passes", 2)


@pytest.mark.parametrize("options", [{}, {"caml_merge": "gate", "share_weights": False}])
def test_every_weight_learns(options):
    network = awake(CAMLMorph(**TINY, **options)).train()
    network(contract.random_pair(TINY_SHAPE)).square().sum().backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]


def test_batch_equals_singles():
    contract.check_batch_equals_singles(CAMLMorph(**TINY), TINY_SHAPE, scale=0.02)


def test_autocast():
    contract.check_autocast(CAMLMorph(**TINY), TINY_SHAPE, tolerance=0.1, scale=0.02)


def test_trace():
    contract.check_trace(CAMLMorph(**TINY), TINY_SHAPE, scale=0.02)


def test_checkpointing_changes_no_gradient():
    contract.check_checkpointing(CAMLMorph(**TINY), CAMLMorph(**TINY, checkpointing=True), TINY_SHAPE)


@pytest.mark.parametrize("shape", [(4, 4, 4), (7, 13, 18)])
def test_any_volume(shape):
    with torch.no_grad():
        ddf = awake(CAMLMorph(**TINY))(contract.random_pair(shape))
    assert ddf.shape == (1, 3, *shape) and torch.isfinite(ddf).all()


def test_refuses_what_it_cannot_use():
    contract.check_bad_pairs(CAMLMorph(**TINY), [(1, 1, 16, 16, 16), (1, 2, 16, 3, 16)])
    for option, value in [
        ("caml_blocks", "last"),
        ("caml_stages", "none"),
        ("caml_merge", "sum"),
        ("rbsc_norm", "layer"),
    ]:
        with pytest.raises(ValueError, match="must be one of .*" + value):
            CAMLMorph(**TINY, **{option: value})
    with pytest.raises(ValueError, match="at least 1, got 0"):
        CAMLMorph(**TINY, num_passes=0)

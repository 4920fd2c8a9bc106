import pytest
import torch

from common.convolution import slabs
from common.errors import InputError
from common.networks.vitvnet import ViTVNet
from tests.common.networks import contract
from tests.parity import check_parity

SMALL = {
    "img_size": [32, 64, 96],
    "hidden_size": 24,
    "mlp_dim": 40,
    "num_heads": 3,
    "num_layers": 2,
    "encoder_channels": [4, 8, 8],
    "bottleneck_channels": 16,
    "decoder_channels": [12, 10, 8, 8, 6],
}
TINY = {**SMALL, "img_size": [32, 32, 64]}
TINY_SHAPE = (32, 32, 64)


@pytest.mark.parametrize(("img_size", "count"), [((160, 192, 224), 31_560_079), ((64, 64, 64), 31_509_175)])
def test_parameter_count_of_the_paper(img_size, count):
    with torch.device("meta"):
        network = ViTVNet(img_size)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(("name", "steps"), [("vitvnet", 0), ("vitvnet_diff", 7)])
def test_equals_the_authors_code(name, steps):
    check_parity(ViTVNet(**SMALL, integration_steps=steps), name)


def test_parity_holds_in_slabs(monkeypatch):
    monkeypatch.setattr(slabs, "SLAB_VOXELS", 2**13)
    check_parity(ViTVNet(**SMALL), "vitvnet")


def test_starts_at_identity():
    contract.check_starts_at_identity(ViTVNet(**TINY), TINY_SHAPE)


def test_every_trainable_weight_learns():
    contract.check_every_trainable_weight_learns(ViTVNet(**TINY, dropout=0.0), TINY_SHAPE)


def test_batch_equals_singles():
    contract.check_batch_equals_singles(ViTVNet(**TINY), TINY_SHAPE)


def test_autocast():
    contract.check_autocast(ViTVNet(**TINY, integration_steps=7), TINY_SHAPE, tolerance=0.1)


def test_trace():
    contract.check_trace(ViTVNet(**TINY), TINY_SHAPE)


def test_checkpointing_changes_no_gradient():
    contract.check_checkpointing(ViTVNet(**TINY), ViTVNet(**TINY, checkpointing=True), TINY_SHAPE)


def test_checkpointing_changes_no_running_statistics():
    plain, checkpointed = ViTVNet(**TINY, dropout=0.0), ViTVNet(**TINY, dropout=0.0, checkpointing=True)
    checkpointed.load_state_dict(plain.state_dict())
    pair = contract.random_pair(TINY_SHAPE, batch=2)
    for network in (plain, checkpointed):
        network.train()(pair).sum().backward()
    # Dead features have a zero variance: its running value is the place where rounding shows.
    for name, value in plain.named_buffers():
        if "running" in name:
            torch.testing.assert_close(checkpointed.get_buffer(name), value, msg=name)


def test_another_volume_resamples_the_position_table():
    network = contract.scramble(ViTVNet(**TINY))
    torch.nn.init.normal_(network.transformer.position_embedding)
    transformer = network.transformer
    assert transformer.positions((1, 1, 2)) is transformer.position_embedding
    halves = transformer.positions((1, 1, 4))[0]
    first, second = transformer.position_embedding[0]
    expected = torch.stack([first, 0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second, second])
    torch.testing.assert_close(halves, expected)
    with torch.no_grad():
        assert network(torch.rand(1, 2, 64, 32, 32)).shape == (1, 3, 64, 32, 32)


def test_refuses_volumes_that_do_not_fit():
    contract.check_bad_pairs(ViTVNet(**TINY), [(1, 2, 32, 48, 32), (1, 1, 32, 32, 32), (2, 32, 32, 32)])
    with pytest.raises(InputError, match="multiples of 32"):
        ViTVNet((32, 40, 32))

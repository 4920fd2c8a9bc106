import pytest

from common.networks.transmorph import TransMorph
from tests.common.networks import contract
from tests.parity import check_parity

SMALL = {
    "embed_dim": 16,
    "num_heads": [2, 2, 4],
    "window_size": [3, 5, 2],
    "reg_head_channels": 6,
    "feature_encoder": [4, 4],
    "feature_decoder": [4] * 4,
}
SHAPE = (32, 16, 48)


@pytest.mark.parametrize(("count", "features"), [(14_572_371, True), (14_287_299, False)])
def test_parameter_counts_of_the_paper(count, features):
    assert sum(p.numel() for p in TransMorph(features).parameters()) == count


@pytest.mark.parametrize(("name", "features"), [("transmorph", False), ("transmorph_feat", True)])
def test_equals_the_authors_code(name, features):
    reduced = {key: SMALL[key] for key in ("embed_dim", "num_heads", "window_size", "reg_head_channels")}
    check_parity(TransMorph(features, **reduced), name)


def test_starts_at_the_identity():
    contract.check_starts_at_identity(TransMorph(**SMALL), SHAPE)


def test_a_batch_equals_its_pairs_one_by_one():
    contract.check_batch_equals_singles(TransMorph(**SMALL), SHAPE)


def test_every_trainable_weight_learns():
    contract.check_every_trainable_weight_learns(TransMorph(**SMALL, drop_path_rate=0.0), SHAPE)


def test_bfloat16_is_close():
    contract.check_autocast(TransMorph(**SMALL), SHAPE, tolerance=0.1)


def test_trace():
    contract.check_trace(TransMorph(**SMALL), SHAPE)


def test_checkpointing_keeps_the_gradients():
    contract.check_checkpointing(TransMorph(**SMALL), TransMorph(**SMALL, checkpointing=True), SHAPE)


def test_drop_path_acts_in_training_only_and_rises_with_depth():
    network = contract.scramble(TransMorph(**SMALL, drop_path_rate=0.7))
    rates = [getattr(b.drop_path, "drop_prob", 0.0) for stage in network.encoder.stages for b in stage.blocks]
    assert rates == pytest.approx([0.1 * i for i in range(8)])
    pair = contract.random_pair(SHAPE)
    assert (network(pair) - network(pair)).abs().max() == 0
    network.train()
    assert (network(pair) - network(pair)).abs().max() > 0


def test_integration_is_a_switch():
    assert set(TransMorph(**SMALL, integration_steps=7).fields(contract.random_pair(SHAPE))) == {"ddf", "velocity"}

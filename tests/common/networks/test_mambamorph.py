import pytest
import torch

from common.networks.mambamorph import MambaMorph
from tests.common.networks import contract
from tests.parity import check_parity

SMALL = {"embed_dim": 16, "d_state": 4, "reg_head_channels": 6, "feature_encoder": [4, 4], "feature_decoder": [4] * 4}
SHAPE = (32, 16, 48)


@pytest.mark.parametrize(
    ("count", "arguments"),
    [
        (7_594_646, {}),
        (7_590_531, {"unused_weights": False}),
        (7_305_459, {"feature_extractor": False}),
    ],
)
def test_parameter_counts_of_the_paper(count, arguments):
    assert sum(p.numel() for p in MambaMorph(**arguments).parameters()) == count


@pytest.mark.parametrize(("name", "features"), [("mambamorph", False), ("mambamorph_feat", True)])
def test_equals_the_authors_code(name, features):
    check_parity(MambaMorph(features, embed_dim=16, d_state=4, reg_head_channels=6), name)


def test_starts_at_the_identity():
    contract.check_starts_at_identity(MambaMorph(**SMALL), SHAPE)


def test_a_batch_equals_its_pairs_one_by_one():
    contract.check_batch_equals_singles(MambaMorph(**SMALL), SHAPE)


def test_every_trainable_weight_learns():
    contract.check_every_trainable_weight_learns(MambaMorph(**SMALL), SHAPE)


def test_bfloat16_is_close():
    contract.check_autocast(MambaMorph(**SMALL), SHAPE, tolerance=0.1)


def test_trace():
    contract.check_trace(MambaMorph(**SMALL), SHAPE)


def test_checkpointing_keeps_the_gradients():
    contract.check_checkpointing(MambaMorph(**SMALL), MambaMorph(**SMALL, checkpointing=True), SHAPE)


def test_bad_pairs_are_refused():
    shapes = [(1, 1, 16, 16, 16), (1, 2, 16, 24, 16), (2, 16, 16, 16), (1, 2, 0, 16, 16)]
    contract.check_bad_pairs(MambaMorph(**SMALL), shapes)


def test_without_integration_the_head_gives_the_field():
    network = contract.scramble(MambaMorph(**SMALL, integration_steps=0))
    pair = contract.random_pair(SHAPE)
    fields = network.fields(pair)
    assert list(fields) == ["ddf"]
    assert torch.equal(fields["ddf"], network.velocity(pair[:, :1], pair[:, 1:]))


def test_patch_size_is_tied_to_the_decoder():
    with pytest.raises(ValueError, match="patches of 4 voxels"):
        MambaMorph(patch_size=2)

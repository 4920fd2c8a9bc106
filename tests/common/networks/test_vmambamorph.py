import pytest
import torch

from common.networks.vmambamorph import VMambaMorph
from common.spatial import compose, integrate, warp
from tests.common.networks import contract
from tests.parity import check_parity

SMALL = {"embed_dim": 16, "d_state": 4, "reg_head_channels": 6, "feature_encoder": [4, 4], "feature_decoder": [4] * 4}
CUBE = (32, 32, 32)


@pytest.mark.parametrize(
    ("count", "arguments"),
    [
        (9_641_558, {}),
        (7_972_227, {"unused_weights": False}),
        (9_352_371, {"feature_extractor": False}),
        (7_687_155, {"feature_extractor": False, "unused_weights": False}),
    ],
)
def test_parameter_counts_of_the_paper(count, arguments):
    assert sum(p.numel() for p in VMambaMorph(**arguments).parameters()) == count


@pytest.mark.parametrize(("name", "features"), [("vmambamorph", False), ("vmambamorph_feat", True)])
def test_equals_the_authors_code(name, features):
    check_parity(VMambaMorph(features, embed_dim=16, d_state=4, reg_head_channels=6), name)


def test_starts_at_the_identity():
    contract.check_starts_at_identity(VMambaMorph(**SMALL), CUBE)


def test_a_batch_equals_its_pairs_one_by_one():
    contract.check_batch_equals_singles(VMambaMorph(**SMALL), CUBE)


def test_every_trainable_weight_learns():
    contract.check_every_trainable_weight_learns(VMambaMorph(**SMALL), CUBE)


def test_bfloat16_is_close():
    contract.check_autocast(VMambaMorph(**SMALL), CUBE, tolerance=0.1)


def test_trace():
    contract.check_trace(VMambaMorph(**SMALL), CUBE)


def test_checkpointing_keeps_the_gradients():
    contract.check_checkpointing(VMambaMorph(**SMALL), VMambaMorph(**SMALL, checkpointing=True), CUBE)


def test_only_the_corrected_walk_takes_other_volumes():
    shape = (32, 16, 48)
    contract.check_bad_pairs(VMambaMorph(**SMALL), [(1, 2, *shape), (1, 2, 24, 24, 24)])
    contract.check_batch_equals_singles(VMambaMorph(**SMALL, walk="corrected"), shape)


def test_the_corrected_walk_is_another_model():
    published, corrected = VMambaMorph(**SMALL), VMambaMorph(**SMALL, walk="corrected")
    corrected.load_state_dict(contract.scramble(published).state_dict())
    pair = contract.random_pair(CUBE)
    with torch.no_grad():
        assert (published(pair) - corrected.eval()(pair)).abs().max() > 1e-2


def test_an_unknown_walk_is_refused():
    with pytest.raises(ValueError, match=r"walk must be one of .*'zigzag'"):
        VMambaMorph(**SMALL, walk="zigzag")


def test_two_passes_compose_the_field():
    once, twice = contract.scramble(VMambaMorph(**SMALL)), VMambaMorph(**SMALL, passes=2).eval()
    twice.load_state_dict(once.state_dict())
    pair = contract.random_pair(CUBE)
    with torch.no_grad():
        first = once(pair)
        second = once.fields(torch.cat([warp(pair[:, :1], first), pair[:, 1:]], dim=1))
        fields = twice.fields(pair)
    torch.testing.assert_close(fields["velocity"], second["velocity"])
    torch.testing.assert_close(fields["ddf"], compose(first, integrate(second["velocity"], 7)))

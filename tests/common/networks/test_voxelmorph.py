import pytest
import torch

from common.networks.voxelmorph import VoxelMorph
from tests.common.networks import contract
from tests.parity import check_parity

SMALL = {"unet_encoder": [4, 4, 4, 4], "unet_decoder": [4] * 6}


@pytest.mark.parametrize(
    ("count", "arguments"),
    [
        (327_331, {}),
        (92_179, {"unet_encoder": [16] * 4, "unet_decoder": [16] * 6}),
        (158_166, {"feature_extractor": True, "unet_encoder": [16] * 4, "unet_decoder": [16] * 6}),
        (
            154_051,
            {"feature_extractor": True, "unet_encoder": [16] * 4, "unet_decoder": [16] * 6, "unused_weights": False},
        ),
        (393_318, {"feature_extractor": True}),
    ],
)
def test_parameter_counts_of_the_papers(count, arguments):
    assert sum(p.numel() for p in VoxelMorph(**arguments).parameters()) == count


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("voxelmorph", SMALL),
        ("voxelmorph_default", {"unet_encoder": [4, 6, 8, 8], "unet_decoder": [8, 8, 6, 6, 6, 4, 4]}),
        (
            "voxelmorph_feat",
            {"feature_extractor": True, "feature_encoder": [4, 4], "feature_decoder": [4, 4, 4, 4], **SMALL},
        ),
    ],
)
def test_equals_the_authors_code(name, arguments):
    check_parity(VoxelMorph(**arguments), name)


def test_velocity_lives_on_the_coarse_grid():
    network = VoxelMorph(**SMALL)
    fields = network.fields(torch.rand(1, 2, 32, 16, 48))
    assert fields["velocity"].shape == (1, 3, 16, 8, 24)
    assert fields["ddf"].shape == (1, 3, 32, 16, 48)


def test_without_integration_the_head_gives_the_field():
    network = VoxelMorph(integration_steps=0, **SMALL)
    pair = torch.rand(1, 2, 16, 16, 32)
    assert list(network.fields(pair)) == ["ddf"]
    assert torch.equal(network(pair), network.flow(pair))


SHAPE = (32, 16, 48)


def test_starts_at_the_identity():
    contract.check_starts_at_identity(VoxelMorph(**SMALL), SHAPE)


def test_a_batch_equals_its_pairs_one_by_one():
    contract.check_batch_equals_singles(VoxelMorph(feature_extractor=True, **SMALL), SHAPE)


def test_every_trainable_weight_learns():
    contract.check_every_trainable_weight_learns(VoxelMorph(feature_extractor=True, **SMALL), SHAPE)


def test_bfloat16_is_close():
    contract.check_autocast(VoxelMorph(**SMALL), SHAPE, tolerance=0.1)


def test_trace():
    contract.check_trace(VoxelMorph(**SMALL), SHAPE)


def test_checkpointing_keeps_the_gradients():
    features = {"feature_extractor": True, **SMALL}
    contract.check_checkpointing(VoxelMorph(**features), VoxelMorph(**features, checkpointing=True), SHAPE)


def test_bad_pairs_are_refused():
    contract.check_bad_pairs(VoxelMorph(**SMALL), [(1, 2, 16, 24, 16), (1, 3, 16, 16, 16)])


def test_a_decoder_shorter_than_the_encoder_is_refused():
    with pytest.raises(ValueError, match="at least the encoder's 4 widths"):
        VoxelMorph(unet_encoder=[4] * 4, unet_decoder=[4] * 3)

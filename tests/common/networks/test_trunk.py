"""What MambaMorph, VMambaMorph and TransMorph share, with stages that do nothing."""

import pytest
import torch
from monai.data import MetaTensor
from torch import nn
from torch.nn import functional as F

from common.blocks.conv import norm_act
from common.blocks.position import sincos_position
from common.networks.trunk import RegistrationTrunk, TokenEncoder
from common.spatial import compose, integrate, warp
from tests.common.networks import contract

SHAPE = (16, 32, 48)
SETTINGS = {
    "embed_dim": 8,
    "patch_size": 4,
    "position": True,
    "reg_head_channels": 6,
    "feature_extractor": True,
    "feature_encoder": [4, 4],
    "feature_decoder": [4, 4, 4],
    "integration_steps": 0,
    "checkpointing": False,
}


def trunk(stages=3, **changes):
    return RegistrationTrunk([nn.Identity() for _ in range(stages)], **{**SETTINGS, **changes})


@pytest.mark.parametrize("position", [True, False])
def test_the_encoder_halves_the_grid_and_doubles_the_width(position):
    encoder = TokenEncoder(2, [nn.Identity()] * 3, 8, 4, position, False)
    patches = torch.randn(2, 8, 4, 8, 12)
    outputs = encoder(patches)
    assert [tuple(x.shape) for x in outputs] == [(2, 8, 4, 8, 12), (2, 16, 2, 4, 6), (2, 32, 1, 2, 3)]
    tokens = encoder.patch_embedding.norm(patches.permute(0, 2, 3, 4, 1))
    if position:
        tokens = tokens + sincos_position((4, 8, 12), 8, tokens.device)
    torch.testing.assert_close(outputs[0].permute(0, 2, 3, 4, 1), encoder.norms[0](tokens))
    torch.testing.assert_close(outputs[1].permute(0, 2, 3, 4, 1), encoder.norms[1](encoder.mergings[0](tokens)))


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("features", [True, False])
def test_the_entry_equals_convolutions_of_both_images_joined(features, enabled):
    network = trunk(feature_extractor=features)
    moving, fixed = contract.random_pair(SHAPE, batch=2).split(1, dim=1)
    with torch.set_grad_enabled(enabled):
        images = [network.feature_extractor(x) for x in (moving, fixed)] if features else [moving, fixed]
        joined = torch.cat(images, dim=1)
        halved = F.avg_pool3d(joined, 3, stride=2, padding=1)
        expected = (
            network.encoder.patch_embedding.projection(joined),
            norm_act(network.skip_half.conv(halved)),
            norm_act(network.skip_full.conv(joined)),
        )
        for ours, whole in zip(network.entry(moving, fixed), expected, strict=True):
            torch.testing.assert_close(ours, whole, atol=1e-4, rtol=1e-4)


def test_the_field_is_the_heads_output_or_its_integral():
    pair = contract.random_pair(SHAPE)
    network = contract.scramble(trunk())
    with torch.no_grad():
        assert list(network.fields(pair)) == ["ddf"]
        head = network(pair)
        network.integration_steps = 5
        fields = network.fields(pair)
    assert torch.equal(fields["velocity"], head)
    assert torch.equal(fields["ddf"], integrate(head, 5))


def test_a_further_pass_sees_the_warped_image_and_its_field_is_joined():
    pair = contract.random_pair(SHAPE)
    once, twice = contract.scramble(trunk()), trunk(passes=2).eval()
    twice.load_state_dict(once.state_dict())
    with torch.no_grad():
        first = once(pair)
        second = once(torch.cat([warp(pair[:, :1], first), pair[:, 1:]], dim=1))
        torch.testing.assert_close(twice(pair), compose(first, second), atol=1e-5, rtol=1e-5)
    assert first.abs().max() > 0.5


def test_metadata_ends_at_the_entry():
    network, pair = contract.scramble(trunk()), contract.random_pair(SHAPE)
    with torch.no_grad():
        field = network(MetaTensor(pair))
        assert type(field) is torch.Tensor
        assert torch.equal(field, network(pair))


@pytest.mark.parametrize(
    ("changes", "got"),
    [({"patch_size": 2}, "2, 3 and 1"), ({"stages": 4}, "4, 4 and 1"), ({"passes": 0}, "4, 3 and 0")],
)
def test_what_the_decoder_cannot_take_is_refused(changes, got):
    with pytest.raises(ValueError, match=f"patches of 4 voxels, 3 stages and at least 1 pass, got {got}"):
        trunk(**changes)


def test_the_stored_head_is_part_of_the_weights_alone():
    network, pair = contract.scramble(trunk(stored_read_out_head=True)), contract.random_pair(SHAPE)
    stored = {key for key in network.state_dict() if key.startswith("read_out_head")}
    assert stored and not any(p.requires_grad for p in network.read_out_head.parameters())
    with torch.no_grad():
        before = network(pair)
        for p in network.read_out_head.parameters():
            p.normal_()
        assert torch.equal(network(pair), before)
    assert trunk(feature_extractor=False, stored_read_out_head=True).read_out_head is None

import pytest
import torch

from common.blocks.cross_attention import CrossBlock
from common.blocks.cross_unet import CrossStage, CrossUNet, Expansion, Hooks, Merging, swap_streams

TINY = {"embed_dim": 4, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "mlp_ratio": 1.0}


def test_both_streams_see_the_tokens_of_before_the_block():
    stage = CrossStage([CrossBlock(4, 2), CrossBlock(4, 2)]).eval()
    fixed, moving = torch.randn(2, 2, 3, 4, 2, 4)
    a, b = fixed, moving
    for block in stage.blocks:
        a, b = block(a, b), block(b, a)
    torch.testing.assert_close(stage(torch.cat([fixed, moving])), torch.cat([a, b]))


@pytest.mark.parametrize("finer_blocks", ["first", "all"])
@pytest.mark.parametrize("gated", [False, True])
def test_each_image_asks_the_others_finer_features(finer_blocks, gated):
    stage = CrossStage([CrossBlock(4, 2), CrossBlock(4, 2)], finer_blocks, gated).eval()
    if gated:
        torch.nn.init.uniform_(stage.gates)
    a, b, finer_a, finer_b = torch.randn(4, 1, 2, 4, 2, 4)
    expected_a, expected_b = a, b
    for index, block in enumerate(stage.blocks):
        same, other = block(expected_a, expected_b), block(expected_a, finer_b)
        mirrored, crossed = block(expected_b, expected_a), block(expected_b, finer_a)
        share = stage.gates[min(index, len(stage.gates) - 1)] if gated else 0.5
        if index == 0 or finer_blocks == "all":
            same, mirrored = (1 - share) * same + share * other, (1 - share) * mirrored + share * crossed
        expected_a, expected_b = same, mirrored
    result = stage(torch.cat([a, b]), torch.cat([finer_a, finer_b]))
    torch.testing.assert_close(result, torch.cat([expected_a, expected_b]))


def test_swap_is_its_own_inverse():
    x = torch.randn(4, 1)
    assert torch.equal(swap_streams(x), x[[2, 3, 0, 1]])
    assert torch.equal(swap_streams(swap_streams(x)), x)


def test_grids_shrink_rounding_up_and_grow_back():
    assert Merging(4)(torch.randn(1, 5, 2, 1, 4)).shape == (1, 3, 1, 1, 8)
    assert Expansion(4)(torch.randn(1, 5, 2, 1, 4)).shape == (1, 10, 4, 2, 2)


def test_stochastic_depth_rises_and_is_mirrored():
    network = CrossUNet(4, [2, 1, 1, 1], [1, 1, 2, 2], drop_path_rate=0.4)
    rates = [[block.drop_path.drop_prob for block in stage.blocks] for stage in network.encoder]
    assert rates == [[0.0, pytest.approx(0.1)], [pytest.approx(0.2)], [pytest.approx(0.3)], [pytest.approx(0.4)]]
    assert [[block.drop_path.drop_prob for block in stage.blocks] for stage in network.decoder] == rates[::-1]


def test_hooks_reach_the_places_that_they_name():
    network = CrossUNet(**TINY).eval()
    images = torch.rand(2, 1, 1, 20, 8, 12)
    calls = []

    def record(name, change):
        def hook(tokens):
            calls.append((name, tuple(tokens.shape[1:])))
            return change(tokens)

        return hook

    hooks = Hooks(on_skips=[record(f"skip{i}", lambda x: x) for i in range(3)])
    with torch.no_grad():
        plain, features = network(images[0], images[1])
        hooked, _ = network(images[0], images[1], hooks)
        carried, _ = network(images[0], images[1], Hooks(carried=[torch.ones(2, 5, 2, 3, 4)]))
    assert torch.equal(plain, hooked) and not torch.equal(plain, carried)
    assert calls == [("skip0", (5, 2, 3, 4)), ("skip1", (3, 1, 2, 8)), ("skip2", (2, 1, 1, 16))]
    assert [tuple(f.shape[1:]) for f in features][:3] == [(5, 2, 3, 4), (3, 1, 2, 8), (2, 1, 1, 16)]


def test_slabs_give_the_same_field(monkeypatch):
    network = CrossUNet(**TINY, head_deviation=0.1).eval()
    tokens = torch.randn(2, 9, 3, 3, 4)
    with torch.no_grad():
        whole = network.field(tokens, (34, 12, 12))
        monkeypatch.setattr("common.convolution.slabs.SLAB_VOXELS", 500)
        torch.testing.assert_close(network.field(tokens, (34, 12, 12)), whole)


def test_refuses_other_numbers_of_levels():
    with pytest.raises(ValueError, match="4 entries"):
        CrossUNet(4, [1, 1, 1], [1, 1, 2])

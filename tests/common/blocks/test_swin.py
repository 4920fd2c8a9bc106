import itertools

import pytest
import torch

from common.blocks.swin import (
    SwinBlock,
    WindowAttention,
    partition,
    relative_position_index,
    shift_regions,
    unpartition,
)


def test_partition_and_back():
    tokens = torch.arange(2 * 6 * 4 * 4 * 3.0).view(2, 6, 4, 4, 3)
    windows = partition(tokens, (3, 2, 4))
    assert windows.shape == (2, 4, 24, 3)
    assert torch.equal(windows[1, 1].view(3, 2, 4, 3), tokens[1, :3, 2:])
    assert torch.equal(unpartition(windows, (3, 2, 4), (6, 4, 4)), tokens)


def test_relative_position_index_numbers_the_offsets():
    window = (2, 3, 2)
    index = relative_position_index(window, torch.device("cpu"))
    positions = list(itertools.product(*[range(n) for n in window]))
    for (q, query), (k, key) in itertools.product(enumerate(positions), repeat=2):
        d = [a - b + n - 1 for a, b, n in zip(query, key, window, strict=True)]
        assert index[q, k] == (d[0] * 5 + d[1]) * 3 + d[2]


def test_attention_against_its_formula():
    attention = WindowAttention(8, 2, (2, 1, 2), qkv_bias=False)
    torch.nn.init.normal_(attention.relative_position_bias_table)
    windows = torch.randn(1, 3, 4, 8)
    regions = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 2, 3]])
    out = attention(windows, regions)
    index = relative_position_index((2, 1, 2), windows.device)
    for w in range(3):
        q, k, v = attention.qkv(windows[0, w]).view(4, 3, 2, 4).unbind(1)
        scores = torch.einsum("nhc,mhc->hnm", q, k) / 2 + attention.relative_position_bias_table[index].permute(2, 0, 1)
        scores = scores - 100 * (regions[w][:, None] != regions[w][None, :])
        expected = attention.proj(torch.einsum("hnm,mhc->nhc", scores.softmax(-1), v).reshape(4, 8))
        torch.testing.assert_close(out[0, w], expected, atol=1e-5, rtol=1e-5)


def test_shift_keeps_far_sides_apart():
    regions = shift_regions((4, 4, 4), (2, 2, 2), (1, 1, 1), torch.device("cpu"))
    assert regions.shape == (8, 8)
    assert [len(window.unique()) for window in regions] == [1, 2, 2, 4, 2, 4, 4, 8]


@pytest.mark.parametrize("shifted", [False, True])
def test_a_block_sees_its_window_only(shifted):
    block = SwinBlock(4, 2, (2, 2, 2), shifted, 2.0, False, 0.0).eval()
    tokens = torch.randn(1, 5, 4, 6, 4)
    changed = tokens.clone()
    changed[0, 0, 0, 0] += 1
    with torch.no_grad():
        moved = (block(tokens) - block(changed)).abs().amax(-1)[0] > 1e-6
    reach = 1 if shifted else 2
    assert moved[:reach, :reach, :reach].any()
    moved[:reach, :reach, :reach] = False
    assert not moved.any()

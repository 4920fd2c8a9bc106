import itertools

import pytest
import torch

from common.blocks import swin
from common.blocks.swin import (
    SwinBlock,
    SwinStage,
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


@pytest.mark.parametrize("at_once", [1, 3, 128])
@pytest.mark.parametrize("with_regions", [False, True])
def test_a_few_windows_at_a_time_give_the_same(at_once, with_regions, monkeypatch):
    attention, windows = WindowAttention(8, 2, (2, 2, 2), qkv_bias=True), torch.randn(2, 7, 8, 8)
    regions = torch.randint(0, 2, (7, 8)) if with_regions else None
    with torch.no_grad():
        expected = attention(windows, regions)
        monkeypatch.setattr(swin, "_WINDOWS_AT_ONCE", at_once)
        torch.testing.assert_close(attention(windows, regions), expected, atol=1e-5, rtol=1e-5)


def test_padding_takes_part_as_zeros():
    block = SwinBlock(4, 2, (2, 2, 2), False, 2.0, True, 0.0).eval()
    tokens = torch.randn(1, 3, 2, 4, 4)
    padded = torch.cat([tokens, torch.zeros(1, 1, 2, 4, 4)], dim=1)
    with torch.no_grad():
        assert block.attend(tokens).shape == tokens.shape
        torch.testing.assert_close(block.attend(tokens), block.attend(padded)[:, :3])


def test_a_stage_shifts_every_second_block():
    stage = SwinStage(4, 2, (2, 4, 3), 2.0, False, (0.0, 0.1, 0.2, 0.0))
    assert [block.shift for block in stage.blocks] == [(0, 0, 0), (1, 2, 1)] * 2
    assert [getattr(block.drop_path, "drop_prob", 0.0) for block in stage.blocks] == [0.0, 0.1, 0.2, 0.0]
    tokens = torch.randn(2, 5, 4, 6, 4)
    with torch.no_grad():
        expected = tokens
        for block in stage.eval().blocks:
            expected = block(expected)
        assert torch.equal(stage(tokens), expected)

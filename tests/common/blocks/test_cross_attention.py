import itertools

import pytest
import torch

from common.blocks import cross_attention
from common.blocks.cross_attention import CrossBlock, WindowCrossAttention


def looped(layer, base, search):
    """The definition, one window and one head at a time, float64."""
    n, *grid, channels = base.shape
    window = [min(layer.window, size) for size in grid]
    counts = [-(-size // w) for size, w in zip(grid, window, strict=True)]
    width = channels // layer.num_heads
    padded = torch.zeros(n, *[(c + 2) * w for c, w in zip(counts, window, strict=True)], channels).to(base)
    inner = [slice(w, w + size) for size, w in zip(grid, window, strict=True)]
    padded[:, inner[0], inner[1], inner[2]] = search
    out = torch.zeros_like(base)
    for index in itertools.product(*map(range, counts)):
        own = [slice(i * w, (i + 1) * w) for i, w in zip(index, window, strict=True)]
        queries = layer.query(base[:, own[0], own[1], own[2]])
        shape = queries.shape
        keys, values = [], []
        for offset in itertools.product((0, 1, 2), repeat=3):
            at = [slice((i + o) * w, (i + o + 1) * w) for i, o, w in zip(index, offset, window, strict=True)]
            tokens = padded[:, at[0], at[1], at[2]].flatten(1, 3)
            if offset == (2, 0, 2) and not layer.fill_all_neighbours:
                tokens = torch.zeros_like(tokens)
            both = layer.key_value(tokens)
            keys.append(both[..., :channels])
            values.append(both[..., channels:])
        keys, values = torch.cat(keys, 1), torch.cat(values, 1)
        mixed = []
        for head in range(layer.num_heads):
            part = slice(head * width, (head + 1) * width)
            scores = queries.flatten(1, 3)[..., part] @ keys[..., part].transpose(1, 2) / width**0.5
            mixed.append(scores.softmax(-1) @ values[..., part])
        out[:, own[0], own[1], own[2]] = layer.out(torch.cat(mixed, -1)).view(shape)
    return out


@pytest.mark.parametrize("fill", [True, False])
@pytest.mark.parametrize("grid", [(4, 2, 6), (3, 5, 4), (1, 2, 3), (1, 1, 1)])
def test_equals_the_definition_window_by_window(grid, fill):
    layer = WindowCrossAttention(6, 3, fill_all_neighbours=fill).double()
    base, search = torch.randn(2, 2, *grid, 6, dtype=torch.float64)
    expected = looped(layer, base, search)
    torch.testing.assert_close(layer(base, search), expected)
    with torch.no_grad():
        torch.testing.assert_close(layer(base, search), expected)


@pytest.mark.parametrize("fill", [True, False])
@pytest.mark.parametrize("grid", [(4, 2, 6), (3, 1, 5)])
def test_gradients_equal_those_of_the_definition(grid, fill):
    layer = WindowCrossAttention(6, 3, fill_all_neighbours=fill).double()
    base, search = (x.requires_grad_() for x in torch.randn(2, 2, *grid, 6, dtype=torch.float64))
    wanted = [base, search, *layer.parameters()]
    direction = torch.randn_like(base)
    got, expected = (
        torch.autograd.grad((out * direction).sum(), wanted)
        for out in (layer(base, search), looped(layer, base, search))
    )
    torch.testing.assert_close(got, expected)


def test_parts_change_nothing(monkeypatch):
    layer = WindowCrossAttention(6, 3, fill_all_neighbours=False)
    base, search = torch.randn(2, 1, 6, 8, 4, 6)
    with torch.no_grad():
        whole = layer(base, search)
        monkeypatch.setattr(cross_attention, "GATHERED_TOKENS", 1)
        torch.testing.assert_close(layer(base, search), whole)


def test_inputs_are_left_alone():
    layer = WindowCrossAttention(4, 2, fill_all_neighbours=False)
    base, search = torch.randn(2, 1, 1, 2, 2, 4)
    before = base.clone(), search.clone()
    with torch.no_grad():
        layer(base, search)
    assert torch.equal(base, before[0]) and torch.equal(search, before[1])


def test_search_tokens_are_not_normalised():
    block = CrossBlock(6, 3).eval()
    base, search = torch.randn(2, 1, 2, 2, 2, 6)
    attended = base + block.attention(block.norm1(base), search)
    torch.testing.assert_close(block(base, search), attended + block.mlp(block.norm2(attended)))


def test_refuses_a_width_that_the_heads_do_not_share():
    with pytest.raises(ValueError, match="multiple of num_heads, got 8 and 3"):
        WindowCrossAttention(8, 3)

"""The streamed Mamba block: the plain block's numbers whatever the chunk, and only where it may run."""

import pytest
import torch
from torch import nn

from common.blocks import mamba
from common.blocks.mamba import MambaBlock
from common.scan import MambaWeights, available_backends, stream_mamba
from common.scan.cpu.stream import can_stream, chunk_length

pytestmark = pytest.mark.skipif(not available_backends("cpu")["cpu"][0], reason="needs the compiled CPU scan")


def weights_of(block: MambaBlock, norm: nn.LayerNorm | None = None) -> MambaWeights:
    return MambaWeights(
        block.in_proj.weight, block.conv1d.weight, block.conv1d.bias, block.x_proj.weight, block.dt_proj.weight,
        block.dt_proj.bias, -torch.exp(block.A_log), block.D, block.out_proj.weight,
        *(() if norm is None else (norm.weight, norm.bias, norm.eps)),
    )  # fmt: skip


@pytest.fixture
def block() -> MambaBlock:
    return MambaBlock(20, d_state=5).eval()  # inner width 40: two full tiles and a half


@pytest.mark.parametrize(
    ("length", "chunk"), [(1, 1), (2, 64), (9, 1), (31, 2), (64, 64), (65, 64), (200, 64), (200, 999)]
)
def test_equals_the_plain_block_whatever_the_chunk(block, length, chunk):
    tokens = torch.randn(2, length, 20)
    with torch.no_grad():
        expected = block.double()(tokens.double())
        found = stream_mamba(tokens, weights_of(block.float()), chunk)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)


def test_normalises_as_it_goes(block):
    norm, tokens = nn.LayerNorm(20), torch.randn(1, 100, 20)
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    with torch.no_grad():
        expected = block(norm(tokens))
        torch.testing.assert_close(stream_mamba(tokens, weights_of(block, norm), 48), expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(block(tokens, norm.weight, norm.bias, norm.eps), expected, rtol=1e-4, atol=1e-6)


def test_is_used_in_inference_on_long_sequences_only(block, monkeypatch):
    results = []
    monkeypatch.setattr(mamba, "STREAM_FROM", 50)
    monkeypatch.setattr(mamba, "stream_mamba", lambda *a: results.append(stream_mamba(*a)) or results[-1])
    with torch.no_grad():
        block(torch.randn(1, 49, 20))
        assert not results
        assert block(torch.randn(1, 50, 20)) is results[0]
    block(torch.randn(1, 50, 20)).sum().backward()
    assert results[1] is None and block.D.grad is not None


@pytest.mark.parametrize("change", ["gradients", "double", "half", "backend", "narrow"])
def test_steps_back_where_it_cannot_run(block, change, monkeypatch):
    tokens, weights = torch.randn(1, 8, 20), weights_of(block)
    with torch.no_grad():
        assert can_stream(tokens, weights) and stream_mamba(tokens, weights) is not None
    if change == "gradients":
        assert not can_stream(tokens, weights) and stream_mamba(tokens, weights) is None
    elif change == "double":
        assert not can_stream(tokens.double(), weights)
    elif change == "half":
        with torch.no_grad():
            assert not can_stream(tokens.bfloat16(), weights)
    elif change == "backend":
        monkeypatch.setenv("SCAN_BACKEND", "chunked")
        with torch.no_grad():
            assert not can_stream(tokens, weights)
    else:
        with torch.no_grad():
            assert not can_stream(tokens, weights_of(MambaBlock(20, expand=0.5)))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_under_autocast_only_the_ends_are_rounded(block, kind):
    tokens = torch.randn(1, 37, 20).to(kind)
    with torch.no_grad():
        exact = stream_mamba(tokens.float(), weights_of(block), 16)
        with torch.autocast("cpu", torch.bfloat16):
            assert can_stream(tokens, weights_of(block))
            ours = stream_mamba(tokens, weights_of(block), 16)
    assert torch.equal(ours, exact.bfloat16())


def test_chunks_follow_the_width():
    assert [chunk_length(inner) for inner in (16, 192, 768, 4096)] == [2048, 682, 256, 256]


def test_the_number_of_threads_is_left_as_it_was():
    before = torch.get_num_threads()
    block, tokens = MambaBlock(16).eval(), torch.randn(1, 3000, 16)
    torch.set_num_threads(2)
    with torch.no_grad():
        two = block(tokens)
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        torch.testing.assert_close(block(tokens), two)
    torch.set_num_threads(before)

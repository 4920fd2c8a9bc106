import pytest
import torch

from common.blocks.position import sincos_position


def written_out(size, channels):
    """Token by token: each axis has 2 * ceil(channels / 6) channels, sines before cosines; the end is cut."""
    width = 2 * -(-channels // 6)
    code = torch.empty(*size, 3 * width, dtype=torch.float64)
    for position in torch.cartesian_prod(*[torch.arange(n) for n in size]).tolist():
        parts = []
        for p in position:
            angle = torch.tensor([p / 10000 ** (2 * k / width) for k in range(width // 2)], dtype=torch.float64)
            parts += [angle.sin(), angle.cos()]
        code[tuple(position)] = torch.cat(parts)
    return code[..., :channels]


@pytest.mark.parametrize(("size", "channels"), [((2, 3, 4), 12), ((5, 1, 2), 96), ((3, 3, 3), 16), ((1, 2, 7), 5)])
def test_equals_the_formula(size, channels):
    code = sincos_position(size, channels, torch.device("cpu"))
    assert code.shape == (*size, channels) and code.dtype == torch.float32
    torch.testing.assert_close(code.double(), written_out(size, channels), atol=1e-6, rtol=0)


def test_no_two_tokens_have_one_code():
    code = sincos_position((4, 5, 6), 24, torch.device("cpu")).flatten(0, 2)
    apart = torch.cdist(code, code) + torch.eye(len(code))
    assert apart.min() > 0.05


def test_a_larger_grid_continues_a_smaller_one():
    small, large = (sincos_position(size, 18, torch.device("cpu")) for size in ((2, 3, 2), (4, 5, 3)))
    assert torch.equal(large[:2, :3, :2], small)

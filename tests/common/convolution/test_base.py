import numpy as np
import pytest
import torch

from common.convolution.base import fits, flat_view, split


@pytest.mark.parametrize(
    ("total", "parts", "expected"),
    [(10, 2, [(0, 5), (5, 10)]), (3, 8, [(0, 1), (1, 2), (2, 3)]), (7, 3, [(0, 2), (2, 4), (4, 7)]), (0, 4, [])],
)
def test_ranges(total, parts, expected):
    assert split(total, parts) == expected


def test_ranges_cover_everything_once_and_are_of_one_length():
    for total in range(1, 40):
        for parts in range(1, 12):
            ranges = split(total, parts)
            assert [i for a, b in ranges for i in range(a, b)] == list(range(total))
            lengths = [b - a for a, b in ranges]
            assert max(lengths) - min(lengths) <= 1 and len(ranges) == min(total, parts)


def test_a_flat_view_shares_memory():
    volume = torch.arange(24.0).view(2, 3, 2, 2)
    flat = flat_view(volume)
    assert flat.dtype == np.float32 and flat.tolist() == list(range(24))
    flat[5] = -1
    assert volume.flatten()[5] == -1


def test_bfloat16_is_viewed_as_its_bits():
    flat = flat_view(torch.tensor([[[[1.0, -2.0, 0.5]]]], dtype=torch.bfloat16))
    assert flat.dtype == np.uint16 and flat.tolist() == [0x3F80, 0xC000, 0x3F00]


@pytest.mark.parametrize(
    ("kind", "channels", "expected"),
    [
        (torch.float32, 16, True),
        (torch.bfloat16, 48, True),
        (torch.float64, 16, False),
        (torch.float16, 16, False),
        (torch.float32, 8, False),
    ],
)
def test_when_the_kernels_fit(kind, channels, expected):
    pytest.importorskip("numba")
    assert fits(torch.zeros(1, dtype=kind), channels) is expected


def test_a_trace_keeps_to_operators_that_it_can_record():
    seen = []

    def function(x):
        seen.append(fits(x, 16))
        return x + 1

    torch.jit.trace(function, torch.zeros(1), check_trace=False)
    assert seen == [False]

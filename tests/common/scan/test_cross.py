"""Walks over volumes: the orders as tables, the cross-scan against permuted copies and against a loop in float64."""

import itertools

import pytest
import torch

from common.scan import VMAMBAMORPH_ORDERS, VMAMBAMORPH_ORDERS_CORRECTED, ScanOrder, available_backends, cross_scan
from common.scan.cross import cross_scan_materialised
from common.scan.orders import unwalk, walk, walk_indices

from .cases import relative_error

BACKENDS = ["chunked", "reference", *(["cpu"] if available_backends("cpu")["cpu"][0] else [])]
NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")
ALL_LETTERS = [
    "".join(letter.upper() if flip else letter for letter, flip in zip(axes, flips, strict=True))
    for axes in itertools.permutations("xyz")
    for flips in itertools.product([False, True], repeat=3)
]


@pytest.mark.parametrize("letters", ALL_LETTERS)
def test_a_walk_visits_the_voxels_in_its_order_and_comes_back(letters):
    volume = torch.arange(2 * 3 * 4).view(2, 3, 4)
    expected = []
    sizes = [(2, 3, 4)["xyz".index(letter.lower())] for letter in letters]
    for counters in itertools.product(*(range(size) for size in sizes)):
        where = [0, 0, 0]
        for letter, counter, size in zip(letters, counters, sizes, strict=True):
            where["xyz".index(letter.lower())] = size - 1 - counter if letter.isupper() else counter
        expected.append(int(volume[tuple(where)]))
    assert walk(volume, letters).tolist() == expected == walk_indices(letters, (2, 3, 4)).tolist()
    assert torch.equal(unwalk(walk(volume, letters), letters, (2, 3, 4)), volume)


def test_the_published_orders_write_where_the_authors_code_does():
    n = 3
    step = torch.arange(n**3)
    swapped = ScanOrder.parse("yxz>xzy")
    results = unwalk(step, swapped.write, (n, n, n))
    for i, j, k in itertools.product(range(n), repeat=3):  # step (i, j, k) of the swapped walk, slowest first
        number = (i * n + j) * n + k
        assert walk_indices(swapped.read, (n, n, n))[number] == (j * n + i) * n + k
        assert results[i, k, j] == number
    assert [order.read for order in VMAMBAMORPH_ORDERS] == [order.read for order in VMAMBAMORPH_ORDERS_CORRECTED]


def make(shape, count, channels=5, states=3, batch=2, dtype=torch.float64, channel_last=False) -> dict:
    arguments = {
        "u": torch.randn(batch, channels, *shape, dtype=dtype),
        "delta": torch.randn(batch, count, channels, *shape, dtype=dtype),
        "A": -torch.rand(count * channels, states, dtype=dtype) - 0.1,
        "B": torch.randn(batch, count, states, *shape, dtype=dtype),
        "C": torch.randn(batch, count, states, *shape, dtype=dtype),
        "D": torch.randn(count * channels, dtype=dtype),
        "delta_bias": torch.randn(count * channels, dtype=dtype),
    }
    if channel_last:
        arguments["u"] = arguments["u"].contiguous(memory_format=torch.channels_last_3d)
        arguments["delta"] = arguments["delta"].movedim(2, -1).contiguous().movedim(-1, 2)
    return arguments


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("channel_last", [False, True])
@pytest.mark.parametrize(
    ("shape", "orders", "channels"),
    [
        ((3, 4, 5), ("xyz", "yxz", "XYZ", "YXZ"), 5),
        ((4, 4, 4), ("xyz", "yxz>xzy", "XYZ", "YXZ>XZY"), 21),
        ((2, 5, 3), ("zYx", "Yzx"), 16),
        ((1, 1, 70), ("xyz",), 16),
    ],
)
def test_equals_the_permuted_copies_in_float64(backend, channel_last, shape, orders, channels):
    dtype = torch.float32 if backend == "cpu" else torch.float64
    tolerance = 1e-5 if backend == "cpu" else 1e-10
    inputs = {n: t.requires_grad_() for n, t in make(shape, len(orders), channels, channel_last=channel_last).items()}
    own = {n: t.detach().to(dtype).requires_grad_() for n, t in inputs.items()}
    upstream = torch.randn(2, channels, *shape, dtype=torch.float64)
    walks = [ScanOrder.parse(order) for order in orders]
    expected = cross_scan_materialised(**inputs, delta_softplus=True, orders=walks, backend="reference")
    found = cross_scan(**own, delta_softplus=True, orders=orders, backend=backend)
    assert relative_error(found, expected) < tolerance
    gradients = torch.autograd.grad(found, list(own.values()), upstream.to(dtype))
    wanted = torch.autograd.grad(expected, list(inputs.values()), upstream)
    for name, a, b in zip(NAMES, gradients, wanted, strict=True):
        assert relative_error(a, b) < tolerance, name


def test_without_skip_and_bias_and_without_gradients():
    arguments = make((3, 3, 3), 2) | {"D": None, "delta_bias": None}
    orders = [ScanOrder.parse("xyz"), ScanOrder.parse("ZYX")]
    with torch.no_grad():
        expected = cross_scan_materialised(**arguments, delta_softplus=True, orders=orders)
        torch.testing.assert_close(cross_scan(**arguments, delta_softplus=True, orders=orders), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_passes_pytorchs_own_checks_of_operators(backend):
    arguments = [t.requires_grad_() for t in make((2, 3, 4), 2, dtype=torch.float32, channel_last=True).values()]
    torch.library.opcheck(
        torch.ops.registration.cross_scan.default,
        (*arguments, True, "xyz>xyz,ZYX>ZYX", True, backend),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"orders": ("xyz",)}, r"delta must be \(2, 1, 5, 2, 3, 4\) for 1 orders, got \(2, 2, 5, 2, 3, 4\)"),
        ({"orders": ("xyz", "xxz")}, "expected three letters such as 'xyz'"),
        (
            {"orders": ("xyz", "yxz>xzy")},
            r"yxz>xzy needs equal sizes along the axes that it exchanges, got \(2, 3, 4\)",
        ),
        ({"u": torch.zeros(2, 5, 24)}, r"u must be \(batch, channels, X, Y, Z\)"),
        ({"A": -torch.ones(5, 3)}, r"A must be \(10, 3\)"),
        ({"D": torch.zeros(5)}, r"D must be \(10,\) for 2 orders, got \(5,\)"),
        ({"delta_bias": torch.zeros(10, device="meta")}, "delta_bias is on meta, u is on cpu"),
    ],
)
def test_says_what_was_expected(change, text):
    with pytest.raises(ValueError, match=text):
        cross_scan(**(make((2, 3, 4), 2) | {"orders": ("xyz", "XYZ")} | change))

"""``cross_scan``: several walks over a volume, each scanned with its own parameters, summed on the volume."""

from collections.abc import Sequence

import torch
from torch import Tensor

from common.scan import cross_operator  # noqa: F401  registers torch.ops.registration.cross_scan
from common.scan.autograd import wants_gradients
from common.scan.checks import check_shapes
from common.scan.interface import selective_scan
from common.scan.orders import ScanOrder
from common.scan.seam import CrossScan
from common.scan.written_out import from_sequences


def cross_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    orders: Sequence[str | ScanOrder] = ("xyz",),
    backend: str = "auto",
) -> Tensor:
    """Scan a volume along K walks and add the results up on the volume (the 3D form of VMamba's SS2D).

    Everything comes in the volume's own order: the scan walks, the tensors do not. Since a linear map acts on each
    voxel alone, delta, B and C of all walks are computed from u in one go, in place of K permuted copies.

    On the CPU and on GPUs the walks are strides, nothing is permuted or copied, if u and delta have the channels of a
    voxel side by side in memory (views such as ``x.permute(0, 4, 1, 2, 3)`` of (batch, X, Y, Z, channels), as
    ``common.blocks.vss`` makes them); channel-first tensors are brought into that order once.

    Args:
        u: (batch, channels, X, Y, Z).
        delta: (batch, K, channels, X, Y, Z), walk k's step sizes, before bias and softplus.
        A: (K * channels, N); D, delta_bias: (K * channels,); walk k owns the k-th block of ``channels`` rows.
        B, C: (batch, K, N, X, Y, Z).
        delta_softplus: as in ``selective_scan``.
        orders: K walks, each ``"xyz"``-like text or a ``ScanOrder``; ``VMAMBAMORPH_ORDERS`` are the published four.
        backend: as in ``selective_scan``.

    Returns:
        (batch, channels, X, Y, Z): the sum over k of walk k's output (skip term D u included), each result added at
        the voxel where the order writes it. Differentiable once with respect to every tensor.

    Raises:
        ValueError: shapes disagree, or an order cannot be walked on this shape.
    """
    walks = tuple(ScanOrder.parse(order) for order in orders)
    scan = CrossScan(u, delta, A, B, C, D, delta_bias, delta_softplus, walks)
    if not torch.jit.is_tracing():
        _check(scan)
    text = ",".join(f"{order.read}>{order.write}" for order in walks)
    return torch.ops.registration.cross_scan(*scan[:-1], text, wants_gradients(scan), backend)[0]


def cross_scan_materialised(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    orders: Sequence[ScanOrder],
    backend: str = "auto",
) -> Tensor:
    """The same by permuted copies and one grouped ``selective_scan``: what it saves is measured against this."""
    volumes = CrossScan(u, delta, A, B, C, D, delta_bias, delta_softplus, tuple(orders))
    out = selective_scan(**volumes.written_out()._asdict(), backend=backend)
    return from_sequences(out, [order.write for order in orders], volumes.shape)


def _check(scan: CrossScan) -> None:
    """Raise ValueError for the first shape that disagrees with u and the number of walks."""
    if scan.u.dim() != 5 or not scan.orders:
        raise ValueError(
            f"cross_scan: u must be (batch, channels, X, Y, Z) with at least one order, got {tuple(scan.u.shape)}"
        )
    batch, channels, shape = scan.u.shape[0], scan.u.shape[1], scan.shape
    walks, states = len(scan.orders), scan.A.shape[-1]
    rows, matrix = (walks * channels,), (batch, walks, states, *shape)
    shapes = {
        "delta": (batch, walks, channels, *shape), "A": (*rows, states), "B": matrix, "C": matrix, "D": rows,
        "delta_bias": rows,
    }  # fmt: skip
    check_shapes("cross_scan", scan, shapes, f" for {walks} orders")
    for order in scan.orders:
        order.check(shape)

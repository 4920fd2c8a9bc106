"""``cross_scan``: several walks over a volume, each scanned with its own parameters, summed on the volume."""

from collections.abc import Sequence

import torch
from torch import Tensor

from common.scan.cross_operator import from_sequences, to_sequences
from common.scan.interface import selective_scan
from common.scan.orders import ScanOrder


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
    walks = [ScanOrder.parse(order) for order in orders]
    if not torch.jit.is_tracing():
        _check(u, delta, A, B, C, walks)
    tensors = (u, delta, A, B, C, D, delta_bias)
    save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    text = ",".join(f"{order.read}>{order.write}" for order in walks)
    return torch.ops.registration.cross_scan(*tensors, delta_softplus, text, save, backend)[0]


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
    u_, delta_, B_, C_ = to_sequences(u, delta, B, C, list(orders))
    out = selective_scan(
        u_, delta_, A, B_, C_, D, delta_bias=delta_bias, delta_softplus=delta_softplus, backend=backend
    )
    return from_sequences(out, [order.write for order in orders], (u.shape[2], u.shape[3], u.shape[4]))


def _check(u, delta, A, B, C, walks) -> None:
    """Raise ValueError for the first shape that disagrees with u and the number of walks."""
    if u.dim() != 5 or not walks:
        raise ValueError(
            f"cross_scan: u must be (batch, channels, X, Y, Z) with at least one order, got {tuple(u.shape)}"
        )
    batch, channels, *shape = u.shape
    count, states = len(walks), A.shape[-1]
    expected = {
        "delta": (delta, (batch, count, channels, *shape)),
        "A": (A, (count * channels, states)),
        "B": (B, (batch, count, states, *shape)),
        "C": (C, (batch, count, states, *shape)),
    }
    for name, (tensor, wanted) in expected.items():
        if tuple(tensor.shape) != wanted:
            raise ValueError(f"cross_scan: {name} must be {wanted} for {count} orders, got {tuple(tensor.shape)}")
    for order in walks:
        order.check(tuple(shape))

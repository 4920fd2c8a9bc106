"""Walks over a volume written out as permuted sequences, for scans that know nothing but sequences."""

from collections.abc import Sequence

import torch
from torch import Tensor

from common.scan.orders import ScanOrder, unwalk, walk


def to_sequences(
    u: Tensor, delta: Tensor, B: Tensor, C: Tensor, orders: Sequence[ScanOrder]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Write the walks out: u and delta (batch, K * channels, L), B and C (batch, K, N, L)."""
    sequences = torch.cat([walk(u, order.read) for order in orders], dim=1)
    steps, B, C = (
        torch.stack([walk(volume[:, k], order.read) for k, order in enumerate(orders)], dim=1)
        for volume in (delta, B, C)
    )
    return sequences, steps.flatten(1, 2), B, C


def from_sequences(parts: Tensor, letters: Sequence[str], shape: tuple[int, int, int]) -> Tensor:
    """Put (batch, K * channels, L) back on the volume, walk k by letters[k], and add up."""
    split = parts.unflatten(1, (len(letters), -1))
    total = unwalk(split[:, 0], letters[0], shape)
    for k, one in enumerate(letters[1:], start=1):
        total = total + unwalk(split[:, k], one, shape)
    return total


def each_from_sequence(parts: Tensor, letters: Sequence[str], shape: tuple[int, int, int]) -> Tensor:
    """Put (batch, K, rows, L) back on K volumes, walk k by letters[k]: (batch, K, rows, X, Y, Z)."""
    return torch.stack([unwalk(parts[:, k], one, shape) for k, one in enumerate(letters)], dim=1)

"""The seam between the operators and whoever computes: what a scan is, and what a backend has to offer.

A backend is a class of this package derived from ``Backend`` and listed in ``common.scan.selection.BACKENDS``. It gets
a ``Scan`` or a ``CrossScan`` whose shapes have been checked; strides are arbitrary, tensors that were not given are
None. Letters: B batch, L steps, N states.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from common.scan.orders import ScanOrder, walk
from common.scan.written_out import each_from_sequence, from_sequences, to_sequences

# Gradients by the name of the tensor that they belong to, of at least all that were given, in any layout and dtype.
Gradients: TypeAlias = Mapping[str, Tensor]


class Scan(NamedTuple):
    """One selective scan along L; the formula is in ``common.scan.selective_scan``."""

    u: Tensor  # (batch, channels, L), as delta and z
    delta: Tensor
    A: Tensor  # (channels, N)
    B: Tensor  # (batch, groups, N, L), as C
    C: Tensor
    D: Tensor | None = None  # (channels,), as delta_bias
    z: Tensor | None = None
    delta_bias: Tensor | None = None
    initial_state: Tensor | None = None  # (batch, channels, N)
    delta_softplus: bool = False


class CrossScan(NamedTuple):
    """Scans along K walks over one volume, added up; arguments as ``common.scan.cross_scan``."""

    u: Tensor  # (batch, channels, X, Y, Z)
    delta: Tensor  # (batch, K, channels, X, Y, Z)
    A: Tensor  # (K * channels, N)
    B: Tensor  # (batch, K, N, X, Y, Z), as C
    C: Tensor
    D: Tensor | None  # (K * channels,), as delta_bias
    delta_bias: Tensor | None
    delta_softplus: bool
    orders: tuple[ScanOrder, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """The volume's (X, Y, Z)."""
        return self.u.shape[2], self.u.shape[3], self.u.shape[4]

    def written_out(self) -> Scan:
        """The same as one scan of permuted copies: a walk is a group of channels."""
        u, delta, B, C = to_sequences(self.u, self.delta, self.B, self.C, self.orders)
        return Scan(u, delta, self.A, B, C, self.D, None, self.delta_bias, None, self.delta_softplus)


class Backend(ABC):
    """Who computes a scan and its gradients: ``availability``, ``forward`` and ``backward`` at least."""

    @abstractmethod
    def availability(self, device: str) -> tuple[bool, str]:
        """Whether it can run on tensors of this device type ("cpu", "cuda"), and why.

        The reason is what is missing and what to install, or what was found. Must not raise; imports what it needs
        lazily and survives broken installations.
        """

    def supports(self, dtype: torch.dtype, states: int, groups: int) -> bool:
        """Whether it takes such inputs in automatic choice; asked for by name, a backend is taken at its word."""
        return True

    def saved_shape(self, batch: int, channels: int, length: int, states: int) -> tuple[int, ...]:
        """The shape of what the forward saves for the backward; (0,) saves nothing."""
        return (0,)

    @abstractmethod
    def forward(self, scan: Scan, save: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``(out, last_state, saved)``.

        ``out`` is (batch, channels, L); ``last_state`` (batch, channels, N) is in the state's dtype (float32; float64
        for a float64 u), as is ``saved``: a tensor of ``saved_shape`` if ``save``, else empty.
        """

    @abstractmethod
    def backward(self, scan: Scan, saved: Tensor, grad_out: Tensor, grad_last_state: Tensor | None) -> Gradients:
        """Return the gradients; ``saved`` is empty when the forward ran without ``save``: recompute it then."""

    def cross_saved_shape(self, batch: int, channels: int, length: int, states: int, walks: int) -> tuple[int, ...]:
        """The shape of what ``cross_forward`` saves."""
        return self.saved_shape(batch, channels * walks, length, states)

    def cross_forward(self, scan: CrossScan, save: bool) -> tuple[Tensor, Tensor]:
        """Return ``(out, saved)``, out (batch, channels, X, Y, Z). Here: by the walks written out as sequences."""
        parts, _, saved = self.forward(scan.written_out(), save)
        return from_sequences(parts, [order.write for order in scan.orders], scan.shape), saved

    def cross_backward(self, scan: CrossScan, saved: Tensor, grad_out: Tensor) -> Gradients:
        """Return the gradients; ``saved`` may be empty."""
        reads, shape = [order.read for order in scan.orders], scan.shape
        upstream = torch.cat([walk(grad_out, order.write) for order in scan.orders], dim=1)
        found = dict(self.backward(scan.written_out(), saved, upstream, None))
        delta = found["delta"].unflatten(1, (len(reads), -1))
        volumes = {"u": from_sequences(found["u"], reads, shape), "delta": each_from_sequence(delta, reads, shape)}
        volumes |= {name: each_from_sequence(found[name], reads, shape) for name in ("B", "C")}
        return found | volumes

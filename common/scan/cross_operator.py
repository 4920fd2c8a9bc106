"""The operator ``registration::cross_scan`` and its gradient: ``selective_scan`` for walks over volumes.

A backend that can walk has three more functions (``orders``: a list of ``ScanOrder``; the rest as ``cross_scan``'s
arguments; tensors that were not given are None):

``cross_saved_shape(batch, channels, length, states, walks)``, ``cross_forward(u, delta, A, B, C, D, delta_bias, orders,
*, delta_softplus, save) -> (out, saved)`` and ``cross_backward(grad_out, saved, u, .., delta_bias, orders, *,
delta_softplus)``, which returns the seven gradients. For a backend without them the walks are written out as permuted
sequences and given to its plain scan.
"""

from types import ModuleType

import torch
from torch import Tensor

from common.scan import selection
from common.scan.operator import empty_like_sequence, laid_out, state_dtype
from common.scan.orders import ScanOrder, unwalk, walk


def parse_orders(text: str) -> list[ScanOrder]:
    """Read orders separated by commas, the form in which they pass through the operator."""
    return [ScanOrder.parse(name) for name in text.split(",")]


def _empty_like_volume(volume: Tensor) -> Tensor:
    """Uninitialised (batch, channels, X, Y, Z), channels last in memory where the volume's are."""
    flat = volume.flatten(2)
    return empty_like_sequence(flat).unflatten(2, volume.shape[2:])


def _spatial(u: Tensor) -> tuple[int, int, int]:
    return u.shape[2], u.shape[3], u.shape[4]


def _backend(u: Tensor, A: Tensor, B: Tensor, backend: str) -> ModuleType:
    return selection.load_backend(selection.select_backend(u, A, B, backend))


def to_sequences(u: Tensor, delta: Tensor, B: Tensor, C: Tensor, orders: list[ScanOrder]) -> tuple[Tensor, ...]:
    """Write the walks out: u and delta (batch, K * channels, L), B and C (batch, K, N, L)."""
    sequences = torch.cat([walk(u, order.read) for order in orders], dim=1)
    steps, B, C = (
        torch.stack([walk(volume[:, k], order.read) for k, order in enumerate(orders)], dim=1)
        for volume in (delta, B, C)
    )
    return sequences, steps.flatten(1, 2), B, C


def from_sequences(parts: Tensor, letters: list[str], shape: tuple[int, int, int]) -> Tensor:
    """Put (batch, K * channels, L) back on the volume, walk k by letters[k], and add up."""
    split = parts.unflatten(1, (len(letters), -1))
    total = unwalk(split[:, 0], letters[0], shape)
    for k, one in enumerate(letters[1:], start=1):
        total = total + unwalk(split[:, k], one, shape)
    return total


@torch.library.custom_op("registration::cross_scan", mutates_args=())
def cross_op(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    orders: str,
    save: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Scan along the walks and add up. Returns (out, saved)."""
    module, walks = _backend(u, A, B, backend), parse_orders(orders)
    walker = module if hasattr(module, "cross_forward") else PlainWalks(module)
    out, saved = walker.cross_forward(u, delta, A, B, C, D, delta_bias, walks, delta_softplus=delta_softplus, save=save)
    return laid_out(out, _empty_like_volume(u)), saved


@cross_op.register_fake
def _cross_fake(u, delta, A, B, C, D, delta_bias, delta_softplus, orders, save, backend):
    module, walks = _backend(u, A, B, backend), len(parse_orders(orders))
    batch, channels, length, states = u.shape[0], u.shape[1], u.shape[2] * u.shape[3] * u.shape[4], A.shape[1]
    if not save:
        shape: tuple[int, ...] = (0,)
    elif hasattr(module, "cross_saved_shape"):
        shape = module.cross_saved_shape(batch, channels, length, states, walks)
    else:
        shape = module.saved_shape(batch, walks * channels, length, states)
    return _empty_like_volume(u), u.new_empty(shape, dtype=state_dtype(u))


@torch.library.custom_op("registration::cross_scan_backward", mutates_args=())
def cross_backward_op(
    grad_out: Tensor,
    saved: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    orders: str,
    backend: str,
) -> list[Tensor]:
    """Gradients of the seven tensors in order; an empty tensor stands for each one that was not given."""
    inputs, walks = (u, delta, A, B, C, D, delta_bias), parse_orders(orders)
    module = _backend(u, A, B, backend)
    walker = module if hasattr(module, "cross_backward") else PlainWalks(module)
    found = walker.cross_backward(grad_out, saved, *inputs, walks, delta_softplus=delta_softplus)
    models = _cross_backward_fake(grad_out, saved, *inputs, delta_softplus, orders, backend)
    return [m if g is None else laid_out(g, m) for g, m in zip(found, models, strict=True)]


class PlainWalks:
    """Cross-scan by a backend that knows sequences only: the walks and their adjoints written out."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def cross_forward(self, u, delta, A, B, C, D, delta_bias, orders, *, delta_softplus, save):
        """As a backend's ``cross_forward``."""
        u_, delta_, B_, C_ = to_sequences(u, delta, B, C, orders)
        parts, _, saved = self.module.forward(
            u_, delta_, A, B_, C_, D, None, delta_bias, None, delta_softplus=delta_softplus, save=save
        )
        return from_sequences(parts, [order.write for order in orders], _spatial(u)), saved

    def cross_backward(self, grad_out, saved, u, delta, A, B, C, D, delta_bias, orders, *, delta_softplus):
        """As a backend's ``cross_backward``."""
        shape, reads = _spatial(u), [order.read for order in orders]
        u_, delta_, B_, C_ = to_sequences(u, delta, B, C, orders)
        upstream = torch.cat([walk(grad_out, order.write) for order in orders], dim=1)
        found = self.module.backward(
            upstream, None, saved, u_, delta_, A, B_, C_, D, None, delta_bias, None, delta_softplus=delta_softplus
        )
        g_u, g_delta, g_A, g_B, g_C, g_D, _, g_bias, _ = found
        g_delta = g_delta.unflatten(1, (len(orders), -1))
        volumes = [
            torch.stack([unwalk(part[:, k], letters, shape) for k, letters in enumerate(reads)], dim=1)
            for part in (g_delta, g_B, g_C)
        ]
        return [from_sequences(g_u, reads, shape), volumes[0], g_A, volumes[1], volumes[2], g_D, g_bias]


@cross_backward_op.register_fake
def _cross_backward_fake(grad_out, saved, u, delta, A, B, C, D, delta_bias, delta_softplus, orders, backend):
    others = [u.new_empty(0) if t is None else t.new_empty(t.shape) for t in (A, B, C, D, delta_bias)]
    g_delta = _empty_like_volume(delta.flatten(0, 1)).unflatten(0, delta.shape[:2])
    return [_empty_like_volume(u), g_delta, *others]


def _remember(ctx, inputs, output) -> None:
    *tensors, delta_softplus, orders, _, backend = inputs
    ctx.save_for_backward(output[1], *[t for t in tensors if t is not None])
    ctx.given = [t is not None for t in tensors]
    ctx.options = (delta_softplus, orders, backend)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _gradients(ctx, grad_out, _):
    if grad_out is None:
        return (None,) * 11
    saved, *kept = ctx.saved_tensors
    remaining = iter(kept)
    tensors = [next(remaining) if given else None for given in ctx.given]
    found = torch.ops.registration.cross_scan_backward(grad_out, saved, *tensors, *ctx.options)
    return (*[g if given else None for g, given in zip(found, ctx.given, strict=True)], None, None, None, None)


cross_op.register_autograd(_gradients, setup_context=_remember)

"""The operator ``registration::cross_scan`` and its gradient: ``selective_scan`` for walks over volumes."""

import functools
from typing import Any

import torch
from torch import Tensor

from common.scan.autograd import register_gradient
from common.scan.layout import empty_like_volume, in_order, laid_out, state_dtype
from common.scan.orders import ScanOrder
from common.scan.seam import CrossScan
from common.scan.selection import backend_for

TENSORS = ("u", "delta", "A", "B", "C", "D", "delta_bias")


@functools.lru_cache(maxsize=32)
def parse_orders(text: str) -> tuple[ScanOrder, ...]:
    """Read orders separated by commas, the form in which they pass through the operator."""
    return tuple(ScanOrder.parse(name) for name in text.split(","))


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
    scan = CrossScan(u, delta, A, B, C, D, delta_bias, delta_softplus, parse_orders(orders))
    out, saved = backend_for(u, A, B, backend).cross_forward(scan, save)
    return laid_out(out, empty_like_volume(u)), saved


@cross_op.register_fake
def _cross_fake(*inputs: Any) -> tuple[Tensor, Tensor]:
    *given, orders, save, backend = inputs
    scan = CrossScan._make([*given, parse_orders(orders)])
    (batch, channels), length, states = scan.u.shape[:2], scan.u.shape[2:].numel(), scan.A.shape[1]
    chosen = backend_for(scan.u, scan.A, scan.B, backend)
    shape = chosen.cross_saved_shape(batch, channels, length, states, len(scan.orders)) if save else (0,)
    return empty_like_volume(scan.u), scan.u.new_empty(shape, dtype=state_dtype(scan.u))


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
    scan = CrossScan(u, delta, A, B, C, D, delta_bias, delta_softplus, parse_orders(orders))
    found = backend_for(u, A, B, backend).cross_backward(scan, saved, grad_out)
    return in_order(found, TENSORS, scan[:-2], _like_inputs(scan))


@cross_backward_op.register_fake
def _cross_backward_fake(grad_out: Tensor, saved: Tensor, *inputs: Any) -> list[Tensor]:
    *given, orders, _ = inputs
    return _like_inputs(CrossScan._make([*given, parse_orders(orders)]))


def _like_inputs(scan: CrossScan) -> list[Tensor]:
    """Uninitialised gradients of the tensors in order."""
    g_delta = empty_like_volume(scan.delta.flatten(0, 1)).unflatten(0, scan.delta.shape[:2])
    others = (scan.A, scan.B, scan.C, scan.D, scan.delta_bias)
    rest = [scan.u.new_empty(0) if t is None else t.new_empty(t.shape) for t in others]
    return [empty_like_volume(scan.u), g_delta, *rest]


register_gradient(cross_op, torch.ops.registration.cross_scan_backward, len(TENSORS))

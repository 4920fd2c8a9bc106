"""The operator ``registration::selective_scan`` and its gradient, registered with ``torch.library``.

One operator stands before all backends, so that tracing, scripting, ``torch.compile`` and ``torch.export`` see a single
opaque call with known shapes, and a saved program picks its backend where it runs, not where it was saved.
"""

import torch
from torch import Tensor

from common.scan import selection


def empty_like_sequence(u: Tensor, channels: int | None = None) -> Tensor:
    """Return an uninitialised (batch, channels, L) tensor laid out as u: channel-last where u is, else contiguous."""
    batch, own_channels, length = u.shape
    channels = own_channels if channels is None else channels
    if u.stride(1) == 1 and own_channels > 1 and length > 1:
        return u.new_empty(batch, length, channels).transpose(1, 2)
    return u.new_empty((batch, channels, length))


def state_dtype(u: Tensor) -> torch.dtype:
    """The dtype of the state: float64 for a float64 input, float32 for all others."""
    return torch.float64 if u.dtype == torch.float64 else torch.float32


def laid_out(tensor: Tensor, model: Tensor) -> Tensor:
    """Return the tensor with exactly the strides and dtype of the model, copied only where they differ."""
    if tensor.dtype == model.dtype and tensor.stride() == model.stride():
        return tensor
    return model.copy_(tensor)


@torch.library.custom_op("registration::selective_scan", mutates_args=())
def scan_op(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    delta_softplus: bool,
    save: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Scan with the selected backend; B and C are (batch, groups, N, L). Returns (out, last_state, saved)."""
    module = selection.load_backend(selection.select_backend(u, A, B, backend))
    out, last_state, saved = module.forward(
        u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus=delta_softplus, save=save
    )
    return laid_out(out, empty_like_sequence(u)), last_state.contiguous(), saved


@scan_op.register_fake
def _scan_fake(u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus, save, backend):
    module = selection.load_backend(selection.select_backend(u, A, B, backend))
    shape = module.saved_shape(u.shape[0], u.shape[1], u.shape[2], A.shape[1]) if save else (0,)
    last_state = u.new_empty((u.shape[0], u.shape[1], A.shape[1]), dtype=state_dtype(u))
    return empty_like_sequence(u), last_state, u.new_empty(shape, dtype=state_dtype(u))


@torch.library.custom_op("registration::selective_scan_backward", mutates_args=())
def scan_backward_op(
    grad_out: Tensor | None,
    grad_last_state: Tensor | None,
    saved: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    delta_softplus: bool,
    backend: str,
) -> list[Tensor]:
    """Gradients of the nine tensors in order; an empty tensor stands for each one that was not given."""
    inputs = (u, delta, A, B, C, D, z, delta_bias, initial_state)
    module = selection.load_backend(selection.select_backend(u, A, B, backend))
    if grad_out is None:
        grad_out = torch.zeros_like(u)
    gradients = module.backward(grad_out, grad_last_state, saved, *inputs, delta_softplus=delta_softplus)
    models = _scan_backward_fake(grad_out, grad_last_state, saved, *inputs, delta_softplus, backend)
    pairs = zip(gradients, models, strict=True)
    return [m if g is None else laid_out(g, m) for g, m in pairs]


@scan_backward_op.register_fake
def _scan_backward_fake(
    grad_out, grad_last_state, saved, u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus, backend
):
    inputs = (u, delta, A, B, C, D, z, delta_bias, initial_state)
    sequences = (True, True, False, False, False, False, True, False, False)
    return [
        u.new_empty(0) if t is None else empty_like_sequence(t) if along else t.new_empty(t.shape)
        for t, along in zip(inputs, sequences, strict=True)
    ]


def _remember(ctx, inputs, output) -> None:
    """Keep the inputs and what the backend saved; everything else is computed again in the backward pass."""
    *tensors, delta_softplus, _, backend = inputs
    saved = output[2]
    ctx.save_for_backward(saved, *[t for t in tensors if t is not None])
    ctx.given = [t is not None for t in tensors]
    ctx.options = (delta_softplus, backend)
    ctx.mark_non_differentiable(saved)
    ctx.set_materialize_grads(False)


def _gradients(ctx, grad_out, grad_last_state, _):
    saved, *kept = ctx.saved_tensors
    remaining = iter(kept)
    tensors = [next(remaining) if given else None for given in ctx.given]
    gradients = torch.ops.registration.selective_scan_backward(grad_out, grad_last_state, saved, *tensors, *ctx.options)
    used = [g if given else None for g, given in zip(gradients, ctx.given, strict=True)]
    return (*used, None, None, None)


scan_op.register_autograd(_gradients, setup_context=_remember)

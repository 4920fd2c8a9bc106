"""How gradients get into and out of the scans' operators."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from common.scan.seam import CrossScan, Gradients, Scan


def wants_gradients(scan: Scan | CrossScan) -> bool:
    """Whether autograd will ask for the gradient of any of its tensors, so that the forward should save for it."""
    return torch.is_grad_enabled() and any(isinstance(t, Tensor) and t.requires_grad for t in scan)


def register_gradient(operator: Any, backward: Callable[..., list[Tensor]], tensors: int) -> None:
    """Give a ``torch.library`` operator its gradient by another operator.

    Args:
        operator: takes ``tensors`` tensors or None, then options, of which the last but one is ``save``. Its last
            output is what the backend saved.
        backward: takes the gradients of the other outputs or None, what was saved, the same tensors and the options
            without ``save``; returns a gradient for each tensor, anything for those that were not given.
        tensors: their number.
    """

    def remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        saved, given, options = output[-1], inputs[:tensors], inputs[tensors:]
        ctx.save_for_backward(saved, *[t for t in given if t is not None])
        ctx.given = [t is not None for t in given]
        ctx.options = (*options[:-2], options[-1])
        ctx.mark_non_differentiable(saved)
        ctx.set_materialize_grads(False)

    def gradients(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        nothing = (None,) * (len(ctx.options) + 1)
        if all(gradient is None for gradient in upstream[:-1]):
            return (None,) * tensors + nothing
        saved, *kept = ctx.saved_tensors
        remaining = iter(kept)
        inputs = [next(remaining) if given else None for given in ctx.given]
        found = backward(*upstream[:-1], saved, *inputs, *ctx.options)
        return (*[gradient if given else None for gradient, given in zip(found, ctx.given, strict=True)], *nothing)

    operator.register_autograd(gradients, setup_context=remember)


def gradients_in_a_thread(
    function: Callable[[Scan], tuple[Tensor, ...]], scan: Scan, upstream: Sequence[Tensor | None]
) -> Gradients:
    """Differentiate a function of a scan by autograd, given the gradients of its outputs (None: no part in it).

    In a thread of its own, because the operator that asks has switched autograd off for the present one. Tensors that
    the outputs do not depend on get zeros.
    """
    leaves: dict[str, Any] = {
        n: t.detach().requires_grad_() for n, t in scan._asdict().items() if isinstance(t, Tensor)
    }

    def run() -> list[Tensor | None]:
        if scan.u.is_cuda:
            torch.cuda.set_device(scan.u.device)
        outputs = function(scan._replace(**leaves))
        pairs = [(out, gradient) for out, gradient in zip(outputs, upstream, strict=True) if gradient is not None]
        wanted, gradients = zip(*pairs, strict=True)
        return list(torch.autograd.grad(wanted, list(leaves.values()), gradients, allow_unused=True))

    with ThreadPoolExecutor(max_workers=1) as pool:
        found = pool.submit(run).result()
    return {n: torch.zeros_like(t) if g is None else g for (n, t), g in zip(leaves.items(), found, strict=True)}

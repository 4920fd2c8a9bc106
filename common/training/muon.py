"""Muon: momentum whose update of a weight matrix is made orthogonal, with Adam for everything that is no matrix.

Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; the scale 0.2 sqrt(max(n, m))
that gives updates the size of Adam's is Liu et al., "Muon is scalable for LLM training", arXiv 2502.16982, section 2.2.
``torch.optim.Muon`` takes two-dimensional parameters only; the weights here are mostly 3D convolutions, which count as
matrices (output channels, everything else).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from common.switches import reads_switches
from common.training.initialisation import parameter_groups

# Coefficients of the quintic Newton-Schulz iteration of the source: steep at zero, singular values end near one.
QUINTIC = (3.4445, -4.7750, 2.0315)
SMALLEST_SIDE = 8  # heads with three outputs and first layers with one input stay with Adam


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return about U V^T of the singular value decomposition U S V^T of (..., n, m), by Newton-Schulz iterations."""
    a, b, c = QUINTIC
    wide = matrix if matrix.shape[-2] <= matrix.shape[-1] else matrix.mT
    x = wide / (wide.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if matrix.shape[-2] <= matrix.shape[-1] else x.mT


def matrix_groups(network: nn.Module, rate_factors: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the trainable parameters for ``Muon``, those that count as matrices in groups marked ``orthogonal``.

    Matrices are the weights of linear layers and of convolutions over all channels, but for the smallest.

    Args:
        network: whose parameters are trained.
        rate_factors: as for ``parameter_groups``.

    Raises:
        InputError: as ``parameter_groups``.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.Linear) or (isinstance(m, nn.Conv3d) and m.groups == 1)]
    large = {id(m.weight) for m in layers if min(len(m.weight), m.weight[0].numel()) >= SMALLEST_SIDE}
    split = []
    for group in parameter_groups(network, rate_factors):
        for orthogonal in (True, False):
            members = [p for p in group["params"] if (id(p) in large) is orthogonal]
            if members:
                split.append({**group, "params": members, "orthogonal": orthogonal})
    return split


@reads_switches
class Muon(torch.optim.Optimizer):
    """Muon for the groups marked ``orthogonal``, Adam for the others; one learning rate serves both.

    Args:
        params: groups as ``matrix_groups`` makes them.
        lr: learning rate, of the size that Adam needs.
        momentum: of the orthogonal groups, in Nesterov's form.
        betas: Adam's.
        eps: Adam's.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 3e-4,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            move = self._orthogonal if group["orthogonal"] else self._adam
            for parameter in group["params"]:
                if parameter.grad is not None:
                    move(parameter, self.state[parameter], group)

    @staticmethod
    def _orthogonal(parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        gradient, momentum = parameter.grad, group["momentum"]
        assert gradient is not None
        if "average" not in state:
            state["average"] = torch.zeros_like(parameter)
        average = state["average"].lerp_(gradient, 1 - momentum)
        update = orthogonalised(gradient.lerp(average, momentum).flatten(1).float())
        scale = 0.2 * max(update.shape) ** 0.5
        parameter.sub_(update.view(parameter.shape).to(parameter.dtype), alpha=group["lr"] * scale)

    @staticmethod
    def _adam(parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        gradient, (first, second) = parameter.grad, group["betas"]
        assert gradient is not None
        if "average" not in state:
            state["average"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            state["steps"] = torch.zeros(())
        state["steps"] += 1
        count = float(state["steps"])
        average = state["average"].lerp_(gradient, 1 - first)
        square = state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        root = (square / (1 - second**count)).sqrt_().add_(group["eps"])
        parameter.addcdiv_(average, root, value=-group["lr"] / (1 - first**count))

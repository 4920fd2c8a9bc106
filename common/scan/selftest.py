"""Does a backend compute correctly on this very machine? Compares it with the reference in float64.

Kernels that are right everywhere else have returned wrong numbers on new hardware without any error; a second of
checking on the user's own device finds that out.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from common.scan.causal import causal_convolution
from common.scan.cross import cross_scan
from common.scan.interface import selective_scan

TOLERANCE = 1e-4  # relative to the largest entry; float32 backends reach 1e-6


class SelfTest(NamedTuple):
    """The outcome for one backend on one device."""

    passed: bool
    worst: float  # largest relative error over outputs, last state and gradients
    where: str  # the array in which it occurred

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'FAILED'}: largest relative error {self.worst:.1e} in {self.where}"


def _sequence_case(length: int = 300) -> dict[str, Tensor]:
    """Random float64 inputs: two groups, a channel count and a length that fill no tile."""
    generator = torch.Generator().manual_seed(0)
    batch, channels, states = 2, 36, 16

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return {
        "u": normal(batch, channels, length),
        "delta": normal(batch, channels, length),
        "A": -torch.arange(1, states + 1, dtype=torch.float64).repeat(channels, 1),
        "B": normal(batch, 2, states, length),
        "C": normal(batch, 2, states, length),
        "D": normal(channels),
        "z": normal(batch, channels, length),
        "delta_bias": normal(channels) - 3,
    }


def _volume_case() -> dict[str, Tensor]:
    """Random float64 inputs of a cross-scan along two walks."""
    generator = torch.Generator().manual_seed(1)
    shape, walks, channels, states = (4, 5, 6), 2, 20, 8

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    return {
        "u": normal(1, channels, *shape),
        "delta": normal(1, walks, channels, *shape),
        "A": -torch.rand(walks * channels, states, generator=generator, dtype=torch.float64) - 0.1,
        "B": normal(1, walks, states, *shape),
        "C": normal(1, walks, states, *shape),
        "D": normal(walks * channels),
        "delta_bias": normal(walks * channels),
    }


def _run(function: Callable[..., Tensor], case: dict[str, Tensor], **options: Any) -> dict[str, Tensor]:
    """Outputs and the gradients of their sum of squares, by name, on the CPU in float64."""
    inputs = {name: tensor.clone().requires_grad_() for name, tensor in case.items()}
    out = function(**inputs, delta_softplus=True, **options)
    gradients = torch.autograd.grad(out.square().sum(), list(inputs.values()))
    found = {"output": out} | {f"gradient of {name}": g for name, g in zip(inputs, gradients, strict=True)}
    return {name: tensor.detach().double().cpu() for name, tensor in found.items()}


def convolution_test(device: str = "cpu") -> SelfTest:
    """Compare the causal convolution on a device, by whatever computes it there, with PyTorch in float64 on the CPU."""
    generator = torch.Generator().manual_seed(2)
    shapes = {"u": (2, 33, 24), "weight": (24, 1, 4), "bias": (24,)}  # tokens before channels, as a block has them
    case = {name: torch.randn(*shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    inputs = {name: tensor.float().to(device).requires_grad_() for name, tensor in case.items()}
    rounded = {name: tensor.detach().double().cpu().requires_grad_() for name, tensor in inputs.items()}
    found, expected = (_convolved(given) for given in (inputs, rounded))
    errors = {
        name: float((found[name].double().cpu() - wanted).abs().max() / wanted.abs().max())
        for name, wanted in expected.items()
    }
    where = max(errors, key=lambda name: errors[name] if errors[name] == errors[name] else float("inf"))
    return SelfTest(errors[where] <= TOLERANCE, errors[where], where)


def _convolved(given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Output and the gradients of its sum of squares, by name."""
    out = causal_convolution(given["u"].transpose(1, 2), given["weight"], given["bias"])
    gradients = torch.autograd.grad(out.square().sum(), list(given.values()))
    return {"output": out.detach()} | {f"gradient of {name}": g for name, g in zip(given, gradients, strict=True)}


def self_test(backend: str, device: str = "cpu") -> SelfTest:
    """Compare a backend with the reference, both for sequences and for walks over a volume.

    Raises whatever the backend raises; a backend that cannot run here raises ``BackendUnavailableError``.
    """
    worst, where = 0.0, "nothing"
    volume = {"orders": ("xyz", "YxZ")}
    for name, function, case, options in (
        ("selective_scan", selective_scan, _sequence_case(), {}),
        ("cross_scan", cross_scan, _volume_case(), volume),
    ):
        own = {key: tensor.float().to(device) for key, tensor in case.items()}
        rounded = {key: tensor.double().cpu() for key, tensor in own.items()}
        expected = _run(function, rounded, backend="reference", **options)
        found = _run(function, own, backend=backend, **options)
        for key, wanted in expected.items():
            error = float((found[key] - wanted).abs().max() / wanted.abs().max())
            if not error <= worst:  # NaN counts as worst
                worst, where = error, f"{name}, {key}"
    return SelfTest(worst <= TOLERANCE, worst, where)

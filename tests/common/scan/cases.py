"""Parity cases of the scan made with the authors' reference recurrence, and random ones."""

from pathlib import Path

import numpy as np
import torch

NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state")
_STORED = np.load(Path(__file__).with_name("selective_scan.npz"))
CASES = sorted({key.split("/")[0] for key in _STORED.files})


def load_case(name: str, dtype: torch.dtype) -> tuple[dict, dict]:
    """Return (arguments of selective_scan, expected results in float64) of one parity case."""
    stored = {key.split("/")[1]: _STORED[key] for key in _STORED.files if key.startswith(f"{name}/")}
    arguments = {n: torch.from_numpy(stored[n]).to(dtype) for n in NAMES if n in stored}
    arguments["delta_softplus"] = bool(stored["delta_softplus"])
    expected = {n: torch.from_numpy(a) for n, a in stored.items() if n in ("out", "last_state") or "grad" in n}
    return arguments, expected | {"upstream": torch.from_numpy(stored["upstream"]).to(dtype)}


def random_case(
    batch=1, channels=8, length=50, states=4, groups=None, dtype=torch.float64, seed=0, omit=(), softplus=True
) -> dict:
    """Return random arguments of selective_scan, the initial state included, less those named in ``omit``."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    matrix = (batch, states, length) if groups is None else (batch, groups, states, length)
    arguments = {
        "u": normal(batch, channels, length),
        "delta": normal(batch, channels, length) * 0.5 + (0 if softplus else 1),
        "A": -torch.exp(normal(channels, states) * 0.5),
        "B": normal(*matrix),
        "C": normal(*matrix),
        "D": normal(channels),
        "z": normal(batch, channels, length),
        "delta_bias": normal(channels) - 1,
        "initial_state": normal(batch, channels, states),
    }
    if not softplus:
        arguments["delta"] = arguments["delta"].abs() * 0.1
        arguments["delta_bias"] = arguments["delta_bias"].abs() * 0.1
    arguments = {n: t.to(dtype) for n, t in arguments.items() if n not in omit}
    return arguments | {"delta_softplus": softplus}


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference against the largest entry."""
    found, expected = found.detach(), expected.detach()
    return float((found.double() - expected.double()).abs().max() / expected.double().abs().max().clamp_min(1e-30))

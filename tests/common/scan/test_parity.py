"""Every backend against the stored results of the authors' recurrence: outputs, last state, all gradients."""

import pytest
import torch

from common.scan import available_backends, selective_scan
from common.scan.selection import BACKENDS

from .cases import CASES, NAMES, load_case, relative_error


def available_or_skip(backend: str) -> None:
    available, reason = available_backends("cpu")[backend]
    if not available:
        pytest.skip(f"{backend}: {reason}")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_outputs_and_gradients_equal_the_authors(backend, name, dtype):
    if backend != "auto":
        available_or_skip(backend)
    tolerance = 1e-10 if dtype == torch.float64 and backend in ("reference", "chunked", "auto") else 2e-6
    arguments, expected = load_case(name, dtype)
    inputs = {n: arguments[n].requires_grad_() for n in NAMES if n in arguments}
    out, last_state = selective_scan(**arguments, return_last_state=True, backend=backend)
    gradients = torch.autograd.grad(out, list(inputs.values()), expected["upstream"])
    assert relative_error(out, expected["out"]) < tolerance
    assert relative_error(last_state, expected["last_state"]) < tolerance
    for n, gradient in zip(inputs, gradients, strict=True):
        if expected[f"grad_{n}"].abs().max() == 0:
            assert gradient.abs().max() == 0, n
        else:
            assert relative_error(gradient, expected[f"grad_{n}"]) < 5 * tolerance, n

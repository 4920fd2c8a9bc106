"""Ours against the reference functions in the source distributions of causal-conv1d and mamba-ssm.

``make accelerator-tests`` fetches and unpacks both and names their folder in ``ACCELERATOR_SOURCES``. Nothing of them
is installed or built: a function is taken out of its file, with PyTorch and einops around it. Without einops the
tests fail and are not left out: ``make accelerator-tests`` installs it.
"""

import ast
import importlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from common.scan import causal_convolution, selective_scan

from .cases import random_case, relative_error


def source_of(path: str) -> ast.Module:
    """A file of the unpacked distributions, parsed; the test is skipped where there is none."""
    found = sorted(Path(os.environ.get("ACCELERATOR_SOURCES", "nowhere")).glob(path))
    if not found:
        pytest.skip(f"ACCELERATOR_SOURCES has no {path}: make accelerator-tests fetches it")
    return ast.parse(found[-1].read_text())


def function(path: str, name: str) -> Any:
    """One function out of a file."""
    module = source_of(path)
    einops = importlib.import_module("einops")
    body = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == name]
    names: dict[str, Any] = {"torch": torch, "F": F, "rearrange": einops.rearrange, "repeat": einops.repeat}
    exec(compile(ast.Module(body, []), name, "exec"), names)
    return names[name]


def arguments(path: str, name: str) -> list[str]:
    """Names of a function's arguments."""
    (node,) = [n for n in source_of(path).body if isinstance(n, ast.FunctionDef) and n.name == name]
    return [argument.arg for argument in node.args.args]


CONVOLUTION = "causal_conv1d-*/causal_conv1d/causal_conv1d_interface.py"
SCAN = "mamba_ssm-*/mamba_ssm/ops/selective_scan_interface.py"


@pytest.mark.parametrize("width", [2, 4])
def test_the_convolution_equals_causal_conv1d(width):
    u, weight, bias = torch.randn(2, 16, 33), torch.randn(16, 1, width), torch.randn(16)
    expected = function(CONVOLUTION, "causal_conv1d_ref")(u, weight[:, 0], bias, activation="silu")
    assert relative_error(causal_convolution(u, weight, bias), expected) < 1e-6
    assert arguments(CONVOLUTION, "causal_conv1d_fn")[:3] == ["x", "weight", "bias"]
    assert "activation" in arguments(CONVOLUTION, "causal_conv1d_fn")


@pytest.mark.parametrize("groups", [1, 2])
def test_the_scan_equals_mamba_ssm(groups):
    case = random_case(2, 8, 40, 16, groups=groups, dtype=torch.float32, omit=("initial_state",))
    reference = function(SCAN, "selective_scan_ref")
    expected, state = reference(
        *(case[name] for name in ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")), True, True
    )
    found, last = selective_scan(**{**case, "delta_softplus": True}, return_last_state=True)
    assert relative_error(found, expected) < 1e-5 and relative_error(last, state) < 1e-5
    called = ["u", "delta", "A", "B", "C", "D", "z", "delta_bias", "delta_softplus", "return_last_state"]
    assert arguments(SCAN, "selective_scan_fn")[:10] == called

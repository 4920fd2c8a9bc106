"""The registered operator: PyTorch's own checks of it, finite differences, and every way of freezing a program."""

import io

import pytest
import torch
from torch import nn

from common.blocks.mamba import MambaBlock
from common.scan import available_backends, selective_scan

from .cases import NAMES, random_case

WITH_CPU = ["chunked", "reference", *(["cpu"] if available_backends("cpu")["cpu"][0] else [])]


def operator_arguments(arguments: dict, backend: str, save: bool) -> tuple:
    tensors = [arguments.get(n) for n in NAMES]
    return (*tensors, arguments["delta_softplus"], save, backend)


@pytest.mark.parametrize("backend", ["chunked", "reference"])
@pytest.mark.parametrize("softplus", [True, False])
@pytest.mark.parametrize("omit", [(), ("D", "z", "delta_bias", "initial_state")], ids=["full", "bare"])
def test_gradients_equal_finite_differences(backend, softplus, omit):
    case = random_case(2, 4, 9, 3, groups=2, omit=omit, softplus=softplus)
    names = [n for n in NAMES if n in case]

    def run(*tensors):
        arguments = dict(zip(names, tensors, strict=True))
        return selective_scan(**arguments, delta_softplus=softplus, return_last_state=True, backend=backend)

    assert torch.autograd.gradcheck(run, [case[n].requires_grad_() for n in names])


@pytest.mark.parametrize("backend", WITH_CPU)
@pytest.mark.parametrize("channel_last", [False, True])
def test_passes_pytorchs_own_checks_of_operators(backend, channel_last):
    case = random_case(1, 6, 40, 3, groups=2, dtype=torch.float32)
    if channel_last:
        for n in ("u", "delta", "z"):
            case[n] = case[n].transpose(1, 2).contiguous().transpose(1, 2)
    arguments = operator_arguments(case, backend, save=True)
    arguments = tuple(t.requires_grad_() if isinstance(t, torch.Tensor) else t for t in arguments)
    torch.library.opcheck(
        torch.ops.registration.selective_scan.default,
        arguments,
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.LayerNorm(12), MambaBlock(12, 4)).eval()


@pytest.mark.parametrize("freeze", ["trace", "script"])
def test_torchscript_survives_saving(network, freeze):
    tokens = torch.randn(2, 30, 12)
    with torch.no_grad():
        expected = network(tokens)
        scripted = torch.jit.trace(network, tokens) if freeze == "trace" else torch.jit.script(network)
        stored = io.BytesIO()
        torch.jit.save(scripted, stored)
        stored.seek(0)
        loaded = torch.jit.load(stored)
        torch.testing.assert_close(loaded(tokens), expected)
        longer = torch.randn(1, 77, 12)
        torch.testing.assert_close(loaded(longer), network(longer), msg="frozen to the traced length")


def test_a_script_can_be_trained(network):
    scripted, tokens = torch.jit.script(network), torch.randn(1, 30, 12)
    found = torch.autograd.grad(scripted(tokens).square().sum(), list(scripted.parameters()))
    expected = torch.autograd.grad(network(tokens).square().sum(), list(network.parameters()))
    torch.testing.assert_close(found, expected)


def test_export_keeps_one_call_of_the_operator(network):
    tokens = torch.randn(2, 30, 12)
    with torch.no_grad():
        program = torch.export.export(network, (tokens,))
        torch.testing.assert_close(program.module()(tokens), network(tokens))
    calls = [node for node in program.graph.nodes if "registration.selective_scan" in str(node.target)]
    assert len(calls) == 1


def test_compiles_without_a_graph_break(network):
    tokens = torch.randn(2, 30, 12)
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    found = torch.autograd.grad(compiled(tokens).square().sum(), list(network.parameters()))
    expected = torch.autograd.grad(network(tokens).square().sum(), list(network.parameters()))
    torch.testing.assert_close(found, expected)

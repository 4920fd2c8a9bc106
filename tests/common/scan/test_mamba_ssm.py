"""The mamba-ssm backend: every broken installation is a reason and no crash; a working one is called as it wants."""

import sys
import types

import pytest
import torch

from common.scan import BackendUnavailableError, available_backends, mamba_ssm, reference, selection, selective_scan
from common.scan.seam import Scan

from .cases import NAMES, random_case, relative_error


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Forget what was found before and after."""
    for name in [n for n in sys.modules if n.split(".")[0] in ("mamba_ssm", "selective_scan_cuda")]:
        monkeypatch.delitem(sys.modules, name)
    mamba_ssm._kernel.cache_clear()
    selection.availability.cache_clear()
    yield
    mamba_ssm._kernel.cache_clear()
    selection.availability.cache_clear()


class Broken:
    """An importer that finds mamba_ssm and fails inside it."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def find_spec(self, name, path=None, target=None):
        if name == "mamba_ssm":
            raise self.error


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'selective_scan_cuda'"),
        ModuleNotFoundError("No module named 'triton'"),
        ImportError("selective_scan_cuda.so: undefined symbol: _ZN3c104cuda9SetDeviceEi"),
        OSError("libcudart.so.12: cannot open shared object file"),
        RuntimeError("CUDA driver initialization failed"),
        SyntaxError("invalid syntax"),
        AttributeError("module 'triton' has no attribute 'jit'"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_broken_installation_is_a_reason(error, monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [Broken(error), *sys.meta_path])
    available, reason = mamba_ssm.MambaSSM().availability("cuda")
    assert not available and str(error) in reason and "pip install mamba-ssm" in reason
    assert not available_backends("cuda")["mamba_ssm"][0]


def test_a_module_without_the_function_is_a_reason(monkeypatch):
    for name in ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.selective_scan_interface"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    assert "selective_scan_fn" in mamba_ssm.MambaSSM().availability("cuda")[1]


def test_forcing_it_on_the_cpu_says_why():
    case = random_case(dtype=torch.float32)
    with pytest.raises(BackendUnavailableError, match=r"'mamba_ssm'.*NVIDIA GPUs only, the tensors are on cpu"):
        selective_scan(**case, backend="mamba_ssm")


@pytest.fixture
def working(monkeypatch):
    """A mamba-ssm whose kernel is our reference, with the authors' signature and demands on dtypes."""

    def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False, return_last=False):
        assert A.dtype == torch.float32 and u.dtype == delta.dtype == B.dtype == C.dtype
        return reference.recurrence(Scan(u, delta, A, B, C, D, z, delta_bias, None, delta_softplus))

    names = ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.selective_scan_interface")
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules[names[2]].selective_scan_fn = selective_scan_fn
    monkeypatch.setattr(mamba_ssm.MambaSSM, "availability", lambda self, device: mamba_ssm.imports())


@pytest.mark.parametrize("omit", [("initial_state",), ("initial_state", "D", "z", "delta_bias"), ()])
def test_a_working_one_gives_the_reference(working, omit):
    case = random_case(2, 4, 12, 3, groups=2, dtype=torch.float32, omit=omit)
    inputs = [case[n].requires_grad_() for n in NAMES if n in case]
    results = []
    for backend in ("mamba_ssm", "reference"):
        out, last = selective_scan(**case, return_last_state=True, backend=backend)
        results.append([out, last, *torch.autograd.grad(out.square().sum(), inputs)])
    for found, expected in zip(*results, strict=True):
        assert relative_error(found, expected) < 1e-5

"""The compiled CPU backend: every layout and size against float64, long sequences, threads, forks, caches."""

import multiprocessing
import os
import subprocess
import sys

import pytest
import torch

from common.compiled import jobs
from common.scan import available_backends, selective_scan
from common.scan.cpu import launch
from common.scan.cpu.backend import Compiled
from tests.common.scan.cases import NAMES, random_case, relative_error

pytestmark = pytest.mark.skipif(not available_backends("cpu")["cpu"][0], reason="needs numba")


def results(case: dict, backend: str, dtype: torch.dtype, channel_last: bool = False) -> list[torch.Tensor]:
    """Output, last state and all gradients of a sum that weighs every output and state differently."""
    case = {n: t.to(dtype) if isinstance(t, torch.Tensor) else t for n, t in case.items()}
    if channel_last:
        for n in ("u", "delta", "z"):
            if n in case:
                case[n] = case[n].transpose(1, 2).contiguous().transpose(1, 2)
    inputs = [case[n].requires_grad_() for n in NAMES if n in case]
    out, last = selective_scan(**case, return_last_state=True, backend=backend)
    weight = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out).to(dtype)
    total = (out * weight).sum() + (last * last).sum()
    return [out, last, *torch.autograd.grad(total, inputs)]


@pytest.mark.parametrize("channel_last", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"batch": 2, "channels": 1, "length": 1, "states": 1},
        {"batch": 1, "channels": 16, "length": 32, "states": 16},
        {"batch": 1, "channels": 16, "length": 65, "states": 4},
        {"batch": 2, "channels": 37, "length": 100, "states": 7},
        {"batch": 1, "channels": 48, "length": 96, "states": 9, "groups": 3},
        {"batch": 2, "channels": 51, "length": 40, "states": 2, "groups": 3},
        {"batch": 1, "channels": 20, "length": 70, "states": 5, "omit": ("z", "D", "delta_bias", "initial_state")},
        {"batch": 1, "channels": 20, "length": 70, "states": 5, "softplus": False},
    ],
    ids=str,
)
def test_equals_float64_for_every_size_and_layout(options, channel_last):
    case = random_case(**options)
    expected = results(case, "chunked", torch.float64)
    for found, wanted in zip(results(case, "cpu", torch.float32, channel_last), expected, strict=True):
        assert relative_error(found, wanted) < 5e-6


@pytest.mark.slow
def test_stays_accurate_over_a_hundred_thousand_steps():
    case = random_case(1, 16, 110_000, 16, omit=("initial_state",))
    case["A"] = -torch.arange(1, 17).double().repeat(16, 1)
    case["delta_bias"] = torch.log(torch.expm1(torch.logspace(-3, -1, 16).double()))
    names = ["out", "last_state", *(n for n in NAMES if n in case)]
    expected = results(case, "chunked", torch.float64)
    for name, found, wanted in zip(names, results(case, "cpu", torch.float32, True), expected, strict=True):
        assert relative_error(found, wanted) < (1e-6 if name == "out" else 1e-5), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_keep_a_float32_state(dtype):
    case = random_case(1, 20, 200, 4, dtype=dtype, omit=("initial_state",))
    case |= {n: case[n].float() for n in ("A", "D", "delta_bias")}
    out, last = selective_scan(**case, return_last_state=True, backend="cpu")
    exact = {n: t.double() if isinstance(t, torch.Tensor) else t for n, t in case.items()}
    expected, state = selective_scan(**exact, return_last_state=True, backend="reference")
    assert out.dtype == dtype and last.dtype == torch.float32
    assert relative_error(last, state) < 1e-5 and relative_error(out, expected) < 2 * torch.finfo(dtype).eps


def test_parts_of_a_sequence_join_through_the_state():
    case = random_case(1, 20, 90, 4, dtype=torch.float32)
    whole, last = selective_scan(**case, return_last_state=True, backend="cpu")
    state, parts = case["initial_state"], []
    for steps in (slice(0, 33), slice(33, 34), slice(34, 90)):
        part = {n: case[n][..., steps] if n in ("u", "delta", "B", "C", "z") else t for n, t in case.items()}
        out, state = selective_scan(**(part | {"initial_state": state}), return_last_state=True, backend="cpu")
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts, dim=-1), whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(state, last, rtol=1e-5, atol=1e-6)


def test_reads_expanded_and_sliced_tensors_as_they_lie():
    case = random_case(2, 24, 50, 4, dtype=torch.float32)
    wide = torch.randn(2, 50, 60)
    case["u"], case["delta"] = wide[:, :, 5:29].transpose(1, 2), wide[:, :, 36:60].transpose(1, 2)
    case["B"] = torch.randn(1, 4, 1).expand(2, 4, 50)
    copied = {n: t.contiguous() if isinstance(t, torch.Tensor) else t for n, t in case.items()}
    out = selective_scan(**case, backend="cpu")
    torch.testing.assert_close(out, selective_scan(**copied, backend="cpu"))
    assert out.stride(1) == 1  # laid out as u


def test_nan_is_not_swallowed():
    case = random_case(1, 16, 40, 4, dtype=torch.float32)
    for name in ("u", "delta"):
        spoilt = case | {name: case[name].clone()}
        spoilt[name][0, 3, 10] = float("nan")
        out = selective_scan(**spoilt, backend="cpu")
        assert out[0, 3, 10:].isnan().all() and out[0, 3, :10].isfinite().all() and out[0, 4].isfinite().all()


def test_states_that_explode_do_so_as_in_plain_torch():
    case = random_case(1, 16, 40, 4, omit=("z", "initial_state"))
    case["A"] = torch.full((16, 4), 300.0, dtype=torch.float64)
    single = {n: t.float() if isinstance(t, torch.Tensor) else t for n, t in case.items()}
    found, expected = selective_scan(**single, backend="cpu"), selective_scan(**single, backend="reference")
    assert not expected.isfinite().all()
    assert torch.equal(found.isfinite(), expected.isfinite())


@pytest.mark.parametrize("groups", [1, 2])
def test_threads_change_nothing(groups, monkeypatch):
    monkeypatch.setattr(launch, "_SMALL", 0)
    case = random_case(1, 104, 100, 4, groups=groups)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = results(case, "cpu", torch.float32)
        torch.set_num_threads(3)
        together = results(case, "cpu", torch.float32)
    finally:
        torch.set_num_threads(before)
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def _in_a_child(queue) -> None:
    torch.set_num_threads(1)  # torch's own threads do not survive a fork; the scan's do not come from there
    queue.put(float(selective_scan(**random_case(1, 64, 500, 4, dtype=torch.float32), backend="cpu").sum()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_its_own_threads(monkeypatch):
    monkeypatch.setattr(launch, "_SMALL", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    expected = float(selective_scan(**random_case(1, 64, 500, 4, dtype=torch.float32), backend="cpu").sum())
    assert (os.getpid(), 1) in jobs._pools
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(queue,), daemon=True)
    child.start()
    assert queue.get(timeout=60) == pytest.approx(expected, rel=1e-5)
    child.join(10)
    assert child.exitcode == 0


class Doubling(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return selective_scan(**random_case(1, 20, 60, 4, dtype=torch.float32, seed=index), backend="cpu")[0]


def test_runs_in_dataloader_workers():
    loader = torch.utils.data.DataLoader(Doubling(), num_workers=2, batch_size=2)
    alone = torch.stack([Doubling()[i] for i in range(4)])
    torch.testing.assert_close(torch.cat(list(loader)), alone)


def test_unavailable_without_numba_and_off_the_cpu(monkeypatch):
    assert "pip install" not in Compiled().availability("cpu")[1]
    assert Compiled().availability("cuda") == (False, "computes on the CPU only, the tensors are on cuda")
    monkeypatch.setitem(sys.modules, "numba", None)
    available, reason = Compiled().availability("cpu")
    assert not available and reason.endswith("pip install numba")


@pytest.mark.slow
def test_compiles_aloud_where_nothing_can_be_kept(tmp_path):
    """A fresh environment without a cache folder: it compiles, says so, and computes."""
    program = (
        "import logging; logging.basicConfig(format='%(message)s')\n"
        "import torch; from common.scan import selective_scan\n"
        "o = torch.ones(1, 2, 3); print(selective_scan(o, o, -o[0, :, :1], o[:, :1], o[:, :1], backend='cpu').shape)\n"
    )
    (tmp_path / "file").write_text("")
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "file")}
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    assert "torch.Size([1, 2, 3])" in run.stdout
    assert run.stderr.count("compiling the CPU kernel scan_forward, once on this machine") == 1
    assert run.stderr.count("compiled kernels are not kept, every process compiles its own") == 1

"""The Triton scan: in the interpreter against float64, compiled for GPUs that need not be there, and on a GPU."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from common.scan import available_backends, cross_scan, selective_scan
from common.scan.orders import VMAMBAMORPH_ORDERS
from common.scan.triton.plan import (
    ALONG,
    BACKWARD,
    FORWARD,
    GENERAL,
    IDENTITY,
    RUNS_DOWN,
    RUNS_UP,
    ThreadShape,
    alignment,
    chunk_count,
    chunk_length,
    plan,
    walk_over,
)
from tests.common.scan.cases import NAMES, random_case, relative_error

ROOT = Path(__file__).resolve().parents[4]
INTERPRETED = (
    "stored:len1", "stored:plain", "stored:skip_only", "stored:gate_only", "stored:softplus_only",
    "random:groups_tail_and_initial_state", "random:two_images_no_softplus",
    "walks:runs_up_down_and_wrong_undoing", "walks:any_axes_odd_sizes", "walks:channel_last",
    "half:bfloat16", "half:float16",
)  # fmt: skip

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def run_script(name: str, *arguments: str) -> dict:
    command = [sys.executable, "-m", f"tests.common.scan.triton.{name}", *arguments]
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_DEFAULT_FP_FUSION": "1", "SCAN_BACKEND": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def interpreted() -> dict[str, dict[str, float]]:
    return run_script("interpreted", *INTERPRETED)


@needs_triton
@pytest.mark.parametrize("case", INTERPRETED)
def test_interpreted_kernels_equal_float64(interpreted, case):
    limit = {"half:bfloat16": 8e-3, "half:float16": 1e-3}.get(case, 2e-6)
    assert interpreted[case]
    assert {n: e for n, e in interpreted[case].items() if not e < limit} == {}


@needs_triton
@pytest.mark.parametrize(
    ("backend", "architecture", "case"),
    [("cuda", "90", "scan"), ("hip", "gfx942", "cross")]
    + [pytest.param(*t, marks=pytest.mark.slow) for t in
       (("cuda", "80", "scan"), ("cuda", "90", "half"), ("cuda", "90", "odd"), ("cuda", "90", "short"),
        ("cuda", "120", "cross"), ("hip", "gfx942", "scan"), ("hip", "gfx1100", "cross"))],
)  # fmt: skip
def test_kernels_compile_for_gpus_within_their_registers(backend, architecture, case):
    found = run_script("compiled", backend, architecture, case)
    forward = {"chunk_summaries", "carry_states", "chunk_outputs"}
    assert set(found) == forward | (set() if case == "cross" else {"chunk_adjoints", "chunk_gradients"})
    for name, resources in found.items():
        assert resources["spilled_bytes"] <= (512 if name == "chunk_gradients" else 64), (name, resources)
        if name != "carry_states" and backend == "cuda":
            assert resources["shared_bytes"] == 0, (name, resources)
            wide = "loads_of_8_bytes" if case == "half" else "loads_of_16_bytes"
            assert case in ("odd", "short") or resources[wide] >= 4, (name, resources)


def test_without_gpu_the_reason_is_said():
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is there")
    available, reason = available_backends("cuda")["triton"]
    if os.environ.get("TRITON_INTERPRET", "0") == "0":
        assert not available
        assert "not installed; pip install triton" in reason or "sees no GPU" in reason


@pytest.mark.parametrize("states", [1, 2, 3, 8, 16, 17, 64, 256])
@pytest.mark.parametrize("shape", [FORWARD, BACKWARD, ThreadShape(1, 16)])
@pytest.mark.parametrize("lanes", [32, 64])
def test_tiles_fill_a_warp_and_hold_every_state(states, shape, lanes):
    tile = plan(1, 192, 16128, states, 1, shape, lanes)
    assert lanes == tile.NL * tile.DL
    assert tile.NH * tile.NL >= states > tile.NH * tile.NL // 2
    assert tile.DH >= 1 and max(shape.states_a_thread, tile.NH) >= tile.NH * tile.DH
    for size in tile[1:]:
        assert size & (size - 1) == 0


@pytest.mark.parametrize(("channels", "length"), [(192, 16128), (384, 13440), (192, 107520), (8, 1), (6, 17)])
@pytest.mark.parametrize("batch", [1, 2])
def test_chunks_fill_the_chip(batch, channels, length):
    chunk, count = chunk_length(batch, channels, length), chunk_count(batch, channels, length)
    assert 32 <= chunk <= 512 and (count - 1) * chunk < length <= count * chunk
    assert chunk == 32 or batch * count * -(-channels // 32) >= 1584


def test_walks_visit_the_voxels_that_the_orders_name():
    from common.scan.orders import walk_indices

    shape = (3, 2, 4)
    for letters in ("xyz", "XYZ", "yxz", "YxZ", "zYx", "ZyX", "xzy"):
        w = walk_over(letters, shape)
        t = torch.arange(24)
        at = t if w == ALONG or w.mode == IDENTITY else (
            w.base + t // w.n2 // w.n1 * w.s0 + t // w.n2 % w.n1 * w.s1 + t % w.n2 * w.s2
        )  # fmt: skip
        assert torch.equal(at, walk_indices(letters, shape)), letters
    modes = [walk_over(letters, shape).mode for letters in ("xyz", "yxz", "YXZ", "zyx")]
    assert modes == [IDENTITY, RUNS_UP, RUNS_DOWN, GENERAL]
    assert walk_over("yxz", (3, 2, 5)).mode == GENERAL


def test_alignment_is_promised_only_where_it_holds():
    x = torch.zeros(2, 3, 8)
    assert alignment([x, None]) == 4
    assert alignment([x, x.transpose(1, 2)]) == 1
    assert alignment([torch.zeros(2, 3, 9)]) == 1
    assert alignment([torch.zeros(2, 3, 9)[..., :8]]) == 1


# On a GPU ------------------------------------------------------------------------------------------------------------


def on_gpu(dtype=torch.float32, **options) -> tuple[dict, dict[str, torch.Tensor]]:
    arguments = {
        n: t.to("cuda", dtype if n in ("u", "delta", "B", "C", "z") else torch.float32) if torch.is_tensor(t) else t
        for n, t in random_case(**options).items()
    }
    return arguments, {n: arguments[n].requires_grad_() for n in NAMES if n in arguments}


def outputs_and_gradients(arguments, leaves, backend) -> list[torch.Tensor]:
    torch.manual_seed(0)
    out, last = selective_scan(**arguments, return_last_state=True, backend=backend)
    upstream = torch.randn(out.shape, device="cuda").to(out.dtype)
    gradients = torch.autograd.grad([out, last], list(leaves.values()), [upstream, torch.ones_like(last)])
    return [out.detach(), last.detach(), *gradients]


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize(
    "options",
    [
        {"channels": 192, "length": 16128, "states": 16},
        {"channels": 384, "length": 13440, "states": 16},
        {"batch": 2, "channels": 192, "length": 16128, "states": 16},
        {"channels": 48, "length": 4097, "states": 16},
        {"channels": 40, "length": 1000, "states": 5, "groups": 5},
        {"channels": 16, "length": 777, "states": 64},
        {"batch": 2, "channels": 3, "length": 50, "states": 1, "omit": ("z", "D")},
    ],
    ids=str,
)
def test_gpu_equals_float64(options):
    exact, exact_leaves = on_gpu(**options)
    exact = {n: t.double() if torch.is_tensor(t) else t for n, t in exact.items()}
    exact_leaves = {n: exact[n].detach().requires_grad_() for n in exact_leaves}
    expected = outputs_and_gradients(exact | exact_leaves, exact_leaves, "chunked")
    arguments, leaves = on_gpu(**options)
    found = outputs_and_gradients(arguments, leaves, "triton")
    for name, f, e in zip(("out", "last", *leaves), found, expected, strict=True):
        assert relative_error(f, e) < (1e-5 if name == "out" else 1e-4), name


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize(("dtype", "limit"), [(torch.bfloat16, 2e-2), (torch.float16, 3e-3)], ids=str)
def test_gpu_sixteen_bits(dtype, limit):
    options = {"batch": 2, "channels": 96, "length": 4096, "states": 16}
    arguments, leaves = on_gpu(dtype, **options)
    exact = {n: t.detach().float() if torch.is_tensor(t) else t for n, t in arguments.items()}
    exact_leaves = {n: exact[n].requires_grad_() for n in leaves}
    expected = outputs_and_gradients(exact, exact_leaves, "triton")
    found = outputs_and_gradients(arguments, leaves, "triton")
    assert found[0].dtype == dtype and found[1].dtype == torch.float32
    for name, f, e in zip(("out", "last", *leaves), found, expected, strict=True):
        assert relative_error(f, e) < limit, name


@pytest.mark.gpu
@needs_gpu
def test_gpu_channel_last_and_slices_of_larger_tensors():
    arguments, leaves = on_gpu(channels=64, length=2048, states=16)
    expected = outputs_and_gradients(arguments, leaves, "triton")
    other = dict(arguments)
    for n in ("u", "delta", "z"):
        other[n] = arguments[n].detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    for n in ("B", "C"):
        wide = torch.cat([arguments[n].detach().transpose(1, 2)] * 3, dim=2)
        other[n] = wide[..., 16:32].transpose(1, 2).requires_grad_()
    found = outputs_and_gradients(other, {n: other[n] for n in leaves}, "triton")
    assert found[0].stride() == other["u"].stride()
    for f, e in zip(found, expected, strict=True):
        assert relative_error(f, e) < 1e-5


@pytest.mark.gpu
@needs_gpu
def test_gpu_same_bits_every_time():
    arguments, leaves = on_gpu(channels=192, length=16128, states=16)
    first, second = (outputs_and_gradients(arguments, leaves, "triton") for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


@pytest.mark.gpu
@needs_gpu
def test_gpu_memory_is_a_few_sequences():
    arguments, leaves = on_gpu(channels=192, length=107520, states=16, omit=("initial_state",))
    one = arguments["u"].numel() * 4
    out = selective_scan(**arguments, backend="triton")
    torch.cuda.synchronize()
    for peak_allowed, work in ((1.5, lambda: selective_scan(**arguments, backend="triton")),
                               (8.0, lambda: torch.autograd.grad(out, list(leaves.values()), out))):  # fmt: skip
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        assert torch.cuda.max_memory_allocated() - before < peak_allowed * one


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("orders", [VMAMBAMORPH_ORDERS, ("zYx", "xyz", "XYZ")], ids=["vmambamorph", "any"])
def test_gpu_walks_equal_permuted_copies(orders):
    walks, channels, states, shape = len(orders), 48, 16, (16, 16, 16)
    generator = torch.Generator().manual_seed(0)
    sizes = [(1, channels, *shape), (1, walks, channels, *shape), (walks * channels, states)]
    sizes += [(1, walks, states, *shape)] * 2 + [(walks * channels,)] * 2
    exact = [torch.randn(size, generator=generator, dtype=torch.float64).cuda() for size in sizes]
    exact[2] = -exact[2].abs()
    results = []
    for dtype, backend in ((torch.float64, "chunked"), (torch.float32, "triton")):
        leaves = [t.to(dtype).requires_grad_() for t in exact]
        out = cross_scan(*leaves, delta_softplus=True, orders=orders, backend=backend)
        results.append([out, *torch.autograd.grad(out, leaves, torch.cos(exact[0]).to(dtype))])
    for e, f in zip(*results, strict=True):
        assert relative_error(f, e) < 1e-4


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices")
def test_gpu_runs_on_a_device_that_is_not_current():
    arguments, _ = on_gpu(channels=32, length=256, states=16)
    here = selective_scan(**arguments, backend="triton")
    there = selective_scan(
        **{n: t.to("cuda:1") if torch.is_tensor(t) else t for n, t in arguments.items()}, backend="triton"
    )
    assert there.device.index == 1 and torch.equal(here.cpu(), there.cpu())

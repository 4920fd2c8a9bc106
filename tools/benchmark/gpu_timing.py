"""Time and compare scans and networks on a GPU: CUDA events, interleaved, medians, the cache emptied between runs."""

import functools
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.bundle import build_network
from common.scan import cross_scan, selective_scan
from common.scan.cross import cross_scan_materialised
from common.scan.orders import VMAMBAMORPH_ORDERS

Work = Callable[[], Any]
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def scan_inputs(
    batch: int, channels: int, length: int, states: int, device: str, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Random inputs as a Mamba block makes them: A = -1..-N, step sizes around 0.01."""
    generator = torch.Generator(device).manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device)

    tensors = {
        "u": normal(batch, channels, length), "delta": normal(batch, channels, length) * 0.5,
        "A": -torch.arange(1.0, states + 1, device=device).repeat(channels, 1),
        "B": normal(batch, states, length), "C": normal(batch, states, length),
        "D": normal(channels), "z": normal(batch, channels, length), "delta_bias": normal(channels) * 0.1 - 4.6,
    }  # fmt: skip
    return {n: t.to(dtype) if n in ("u", "delta", "B", "C", "z") else t for n, t in tensors.items()}


def scan_bytes(batch: int, channels: int, length: int, states: int, size: int = 4) -> dict[str, int]:
    """Bytes that a scan cannot but move: every input once, every output once, of ``size`` bytes a number."""
    sequence, matrix = batch * channels * length * size, batch * states * length * size
    return {"forward": 4 * sequence + 2 * matrix, "backward": 7 * sequence + 4 * matrix}


def _clock(work: Work, device: str) -> float:
    """Milliseconds of one run on the GPU (on the CPU: wall time, for trying the script out)."""
    if device == "cpu":
        start = time.perf_counter()
        work()
        return 1e3 * (time.perf_counter() - start)
    start_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start_event.record()
    work()
    end_event.record()
    torch.cuda.synchronize()
    return start_event.elapsed_time(end_event)


def medians(works: dict[str, Work], device: str, repeats: int) -> dict[str, dict[str, float]]:
    """Run all by turns; return each one's median and quartiles, time from the host, and peak of memory, in MB.

    Before each run a gigabyte is overwritten, which empties the cache and gives the host the time to queue the run, so
    that the median is the GPU's own time; ``host_ms`` is that of one run after the other, launches included.
    """
    flush = torch.empty(2**30 if device != "cpu" else 1, dtype=torch.uint8, device=device)
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(3):
        for work in works.values():
            work()
    for _ in range(repeats):
        for name, work in works.items():
            flush.zero_()
            times[name].append(_clock(work, device))
    found = {}
    for name, work in works.items():
        quartiles = statistics.quantiles(times[name], n=4)
        found[name] = {"ms": quartiles[1], "ms_q1": quartiles[0], "ms_q3": quartiles[2]}
        found[name] |= {"host_ms": host_time(work, device, repeats), "peak_mb": peak(work, device)}
    return found


def host_time(work: Work, device: str, repeats: int) -> float:
    """Milliseconds a run, one after the other, by the host's clock."""
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    if device != "cpu":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start) / repeats


def peak(work: Work, device: str) -> float:
    """Peak of memory during one run beyond what was allocated before, in MB; 0 on the CPU."""
    if device == "cpu":
        return 0.0
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def copy_bandwidth(device: str) -> float:
    """Bytes a second, read and written together, of a copy of 2 GB (16 MB on the CPU)."""
    source = torch.empty(2**31 if device != "cpu" else 2**24, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    found = medians({"copy": lambda: target.copy_(source)}, device, 10)["copy"]["ms"]
    return 2 * source.numel() / found * 1e3


def scan_peers(device: str) -> dict[str, Callable[..., Tensor]]:
    """Our Triton scan and, where it can be imported, mamba-ssm's ``selective_scan_fn``, with one signature."""
    ours = "triton" if device != "cpu" else "chunked"

    def run_ours(**tensors: Any) -> Tensor:
        return selective_scan(**tensors, delta_softplus=True, backend=ours)

    peers: dict[str, Callable[..., Tensor]] = {ours: run_ours}
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except Exception:  # any half-installed state of it means: not there to compare with
        return peers
    return peers | {"mamba_ssm": functools.partial(selective_scan_fn, delta_softplus=True)}


def compare_scans(
    sizes: Sequence[Sequence[int]], states: int, batches: Sequence[int], device: str, repeats: int, bandwidth: float
) -> list[dict[str, Any]]:
    """One row per size, batch, dtype, direction and implementation: time, share of the bandwidth limit, memory."""
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        for batch in batches:
            for channels, length in sizes:
                given = scan_inputs(batch, channels, length, states, device, dtype)
                works = directions(scan_peers(device), given)
                limits = scan_bytes(batch, channels, length, states, given["u"].element_size())
                for direction, one in works.items():
                    for name, row in medians(one, device, repeats).items():
                        limit = limits[direction] / bandwidth * 1e3
                        rows.append({
                            "implementation": name, "direction": direction, "dtype": str(dtype).removeprefix("torch."),
                            "batch": batch, "channels": channels, "length": length, "states": states,
                            "limit_ms": limit, "times_limit": row["ms"] / limit, **row,
                        })  # fmt: skip
    return rows


def _without_graph(scan: Callable[..., Tensor], given: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return scan(**given)


def directions(peers: dict[str, Callable[..., Tensor]], given: dict[str, Tensor]) -> dict[str, dict[str, Work]]:
    """Forward without a graph, and backward alone on a kept graph."""
    forward: dict[str, Work] = {}
    backward: dict[str, Work] = {}
    for name, peer in peers.items():
        leaves = {n: t.detach().clone().requires_grad_() for n, t in given.items()}
        out = peer(**leaves)
        upstream = torch.randn_like(out)
        forward[name] = functools.partial(_without_graph, peer, given)
        backward[name] = functools.partial(torch.autograd.grad, out, list(leaves.values()), upstream, retain_graph=True)
    return {"forward": forward, "backward": backward}


def compare_errors(sizes: Sequence[Sequence[int]], states: int, device: str) -> list[dict[str, Any]]:
    """Largest error of outputs and gradients against the chunked scan in float64, relative to the largest entry."""
    rows = []
    for channels, length in sizes:
        given = scan_inputs(1, channels, length, states, device)
        upstream = torch.randn(given["u"].shape, device=device)
        exact = _outputs(
            lambda **t: selective_scan(**t, delta_softplus=True, backend="chunked"), given, upstream, torch.float64
        )
        for name, peer in scan_peers(device).items():
            found = _outputs(peer, given, upstream, torch.float32)
            errors = {n: float((found[n] - e).abs().max() / e.abs().max()) for n, e in exact.items()}
            rows.append({"implementation": name, "channels": channels, "length": length, **errors})
    return rows


def _outputs(
    scan: Callable[..., Tensor], given: dict[str, Tensor], upstream: Tensor, dtype: torch.dtype
) -> dict[str, Tensor]:
    leaves = {n: t.to(dtype).requires_grad_() for n, t in given.items()}
    out = scan(**leaves)
    gradients = torch.autograd.grad(out, list(leaves.values()), upstream.to(dtype))
    return {"out": out.detach()} | {f"grad_{n}": g for n, g in zip(leaves, gradients, strict=True)}


def compare_walks(side: int, channels: int, states: int, device: str, repeats: int) -> dict[str, dict[str, float]]:
    """VMambaMorph's four walks over a cube, forward: fused against written out as permuted copies."""
    shape, walks = (side, side, side), len(VMAMBAMORPH_ORDERS)
    sizes = [(1, channels, *shape), (1, walks, channels, *shape), (walks * channels, states)]
    sizes += [(1, walks, states, *shape)] * 2 + [(walks * channels,)] * 2
    tensors = [torch.randn(size, device=device) for size in sizes]
    tensors[2] = -tensors[2].abs()
    backend = "triton" if device != "cpu" else "chunked"

    u, delta, A, B, C, D, bias = tensors

    @torch.no_grad()
    def fused() -> Tensor:
        return cross_scan(u, delta, A, B, C, D, bias, True, VMAMBAMORPH_ORDERS, backend)

    @torch.no_grad()
    def materialised() -> Tensor:
        return cross_scan_materialised(u, delta, A, B, C, D, bias, True, VMAMBAMORPH_ORDERS, backend)

    return medians({"fused": fused, "materialised": materialised}, device, repeats)


def compare_networks(root: Path, device: str, repeats: int, limit: int | None = None) -> list[dict[str, Any]]:
    """Every bundle's network at its published volume: forward in float32 and bfloat16, forward with backward."""
    rows = []
    for config_file in sorted(root.glob("*/configs/inference.json")):
        config = json.loads(config_file.read_text())
        shape = _volume(config)
        if limit is not None:
            shape = [min(n, limit) for n in shape]
        row: dict[str, Any] = {"bundle": config_file.parents[1].name, "volume": "x".join(map(str, shape))}
        try:
            network = build_network(config_file.parents[1]).to(device).eval()
            rows.append(row | _network_times(network, shape, device, repeats))
        except Exception as error:  # one network that does not fit must not lose the others' figures
            rows.append(row | {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]})
    return rows


def _volume(config: dict[str, Any]) -> list[int]:
    """The volume of the network's paper."""
    named = config["network_def"].get("img_size") or config.get("shape")
    if named:
        return list(named)
    if config.get("cube"):
        return [128, 128, 128]
    return [160, 192, 160] if "PSMamba" in config["network_def"]["_target_"] else [192, 208, 176]


def _network_times(network: torch.nn.Module, shape: list[int], device: str, repeats: int) -> dict[str, Any]:
    """Each of the three in turn; one that fails is named in place of its figure."""
    pair = torch.rand(1, 2, *shape, device=device)

    def forward():
        with torch.no_grad():
            return network(pair)

    def half():
        with torch.no_grad(), torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
            return network(pair)

    def training():
        network.zero_grad(set_to_none=True)
        network(pair).square().mean().backward()

    row: dict[str, Any] = {}
    for name, work in {"forward": forward, "bfloat16": half, "training": training}.items():
        try:
            found = medians({name: work}, device, repeats)[name]
            row |= {f"{name}_ms": found["ms"], f"{name}_peak_mb": found["peak_mb"]}
        except RuntimeError as error:  # out of memory, most likely, which says something too
            row[f"{name}_ms"] = str(error).splitlines()[0][:80]
    return row

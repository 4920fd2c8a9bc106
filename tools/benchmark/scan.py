"""``python -m tools benchmark scan``: every scan backend and peer on this CPU, in one interleaved run."""

import functools
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from common.machine import processor, versions
from common.scan import available_backends, selective_scan
from common.writing import save_json

SIZES = ((192, 16128), (384, 13440), (192, 107520))  # inner channels and tokens of MambaMorph's stages
LAYOUTS = ("channel-first", "channel-last")
STATES = 16
FAST = ("cpu",)
PARAMETERS = ("A", "B", "C", "D", "delta_bias")
Scan = Callable[..., Tensor]


def benchmark_scan(
    output_dir: str = "docs/benchmarks",
    sizes: Sequence[Sequence[int]] = SIZES,
    peers: Sequence[str] = ("reference", "chunked", "mambapy"),
    threads: int = 1,
    repeats: int = 7,
    slow_repeats: int = 1,
    peer_limit: int = 6_000_000,
    memory: bool = True,
) -> None:
    """Time forward, and forward and backward, of our CPU backend beside its peers; write scan_cpu.md, .json and .png.

    Figures are CPU seconds of the process (medians of interleaved runs), so that other load on the machine changes them
    little; the memory is the peak above the inputs, in units of one (channels, L) float32 tensor; errors are relative
    to the largest entry, against float64, over 16 channels at the full length.

    Args:
        output_dir: folder of the three files.
        sizes: pairs (channels, L).
        peers: names with commas between them, out of reference, chunked, mambapy (its parallel scan, from PyPI).
        threads: threads of torch and of our backend.
        repeats: runs of our backend.
        slow_repeats: runs of each peer.
        peer_limit: mambapy holds every state of every step in memory; beyond this many channels * L it is left out.
        memory: measure the peak memory too, in a process of its own for each entry (Linux).
    """
    torch.set_num_threads(threads)
    scans = {name: scan for name in (*FAST, *peers) if (scan := find_scan(name)) is not None}
    rows = []
    for channels, length in sizes:
        for layout in LAYOUTS:
            chosen = {n: s for n, s in scans.items() if n != "mambapy" or channels * length <= peer_limit}
            rows += _measure(chosen, channels, length, layout, repeats, slow_repeats)
            print(*(row_text(row) for row in rows[-len(chosen) :]), sep="\n")
    for row in rows if memory and sys.platform == "linux" else []:
        if row["scan"] in FAST:
            row["memory"] = peak_memory(row["scan"], row["channels"], row["length"], row["layout"])
    record = {
        "protocol": "CPU seconds of the process, medians of interleaved runs; B=1, N=16, float32, no gate",
        "processor": processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": threads,
        "versions": versions(("torch", "numba", "mambapy")),
        "copy_bandwidth": copy_bandwidth(),
        "errors": {f"L={length}": errors("cpu", length) for length in sorted({s[1] for s in sizes})},
        "rows": rows,
    }
    _write(record, Path(output_dir))


def find_scan(name: str) -> Scan | None:
    """Return a function of selective_scan's arguments, or None where the peer is not installed."""
    if name == "mambapy":
        return mambapy_scan if importlib.util.find_spec("mambapy") else None
    if not available_backends("cpu").get(name, (False, ""))[0]:
        return None
    return lambda **inputs: selective_scan(**inputs, backend=name)


def mambapy_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor, delta_softplus: bool
) -> Tensor:
    """The scan as mambapy's Mamba block computes it: all decays and drives first, then its parallel scan."""
    from mambapy.pscan import pscan

    d, x = F.softplus(delta.transpose(1, 2) + delta_bias), u.transpose(1, 2)  # (B, L, channels)
    drive = d[..., None] * B.transpose(1, 2)[:, :, None] * x[..., None]
    states = pscan(torch.exp(d[..., None] * A), drive)
    return ((states @ C.transpose(1, 2)[..., None]).squeeze(3) + D * x).transpose(1, 2)


def inputs_of(channels: int, length: int, layout: str, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Random inputs as a Mamba block at its initialisation makes them; seeded."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    steps = torch.exp(torch.rand(channels, generator=generator) * 4.6 - 6.9)
    inputs = {
        "u": normal(1, channels, length),
        "delta": normal(1, channels, length) * 0.5,
        "A": -torch.arange(1.0, STATES + 1).repeat(channels, 1),
        "B": normal(1, STATES, length),
        "C": normal(1, STATES, length),
        "D": torch.ones(channels),
        "delta_bias": steps + torch.log(-torch.expm1(-steps)),
    }
    if layout == "channel-last":
        inputs |= {n: inputs[n].transpose(1, 2).contiguous().transpose(1, 2) for n in ("u", "delta")}
    return {name: tensor.to(dtype) for name, tensor in inputs.items()}


def run(scan: Scan, inputs: dict[str, Tensor], upstream: Tensor | None) -> list[Tensor]:
    """Forward without gradients, or forward and backward from ``upstream``."""
    if upstream is None:
        with torch.no_grad():
            return [scan(**inputs, delta_softplus=True)]
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in inputs.items()}
    out = scan(**leaves, delta_softplus=True)
    return [out.detach(), *torch.autograd.grad(out, list(leaves.values()), upstream)]


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of this process for one run."""
    start = time.process_time()
    work()
    return time.process_time() - start


def _measure(
    scans: dict[str, Scan], channels: int, length: int, layout: str, repeats: int, slow_repeats: int
) -> list[dict[str, Any]]:
    """Rows for one size and layout; the scans take turns."""
    inputs = inputs_of(channels, length, layout)
    upstreams = {"forward": None, "forward and backward": torch.randn_like(inputs["u"])}
    times: dict[tuple[str, str], list[float]] = {}
    for name in FAST:
        run(scans[name], inputs, upstreams["forward and backward"])  # compiled, and the memory touched
    for index in range(repeats):
        for kind, upstream in upstreams.items():
            for name, scan in scans.items():
                slow = name not in FAST
                if index < (slow_repeats if slow else repeats) and not (name == "reference" and upstream is not None):
                    taken = cpu_seconds(functools.partial(run, scan, inputs, upstream))
                    times.setdefault((name, kind), []).append(taken)
    rows = []
    for name in scans:
        row: dict[str, Any] = {"scan": name, "channels": channels, "length": length, "layout": layout}
        for kind in upstreams:
            own, ours = times.get((name, kind)), times[FAST[0], kind]
            row[kind] = None if own is None else statistics.median(own)
            row[f"{kind}, ratio"] = None if own is None else statistics.median(own) / statistics.median(ours)
            row[f"{kind}, runs"] = len(own or [])
        rows.append(row)
    return rows


def row_text(row: dict[str, Any]) -> str:
    """One row for the terminal."""
    figures = [f"{row[kind]:.4f} s" if row[kind] else "-" for kind in ("forward", "forward and backward")]
    return f"{row['channels']}x{row['length']} {row['layout']:<13} {row['scan']:<10} " + "  ".join(figures)


def peak_memory(name: str, channels: int, length: int, layout: str) -> dict[str, float]:
    """Peak memory above the inputs, in (channels, L) tensors, measured in a fresh process."""
    program = f"from tools.benchmark.scan import print_memory; print_memory({name!r}, {channels}, {length}, {layout!r})"
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def print_memory(name: str, channels: int, length: int, layout: str) -> None:
    """Print the JSON that ``peak_memory`` reads: uses Linux's resettable high-water mark of this process."""
    torch.set_num_threads(1)
    scan, small = find_scan(name), inputs_of(16, 64, layout)
    assert scan is not None
    run(scan, small, torch.ones(1, 16, 64))
    inputs, result = inputs_of(channels, length, layout), {}
    upstream = torch.randn_like(inputs["u"])
    for kind, gradient in (("forward", None), ("forward and backward", upstream)):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = _status("VmRSS")
        run(scan, inputs, gradient)
        result[kind] = (_status("VmHWM") - before) * 1024 / (4 * channels * length)
    print(json.dumps(result))


def _status(field: str) -> int:
    """A field of /proc/self/status in kB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def errors(name: str, length: int, channels: int = 16) -> dict[str, float]:
    """Largest relative error of the output and of every gradient against float64, at full length."""
    scan, oracle = find_scan(name), find_scan("chunked")
    assert scan is not None and oracle is not None
    inputs = inputs_of(channels, length, "channel-last")
    upstream = torch.randn(1, channels, length, generator=torch.Generator().manual_seed(1))
    found = run(scan, inputs, upstream)
    wanted = run(oracle, {n: t.double() for n, t in inputs.items()}, upstream.double())
    names = ["output", *(f"gradient of {n}" for n in inputs)]
    pairs = zip(names, found, wanted, strict=True)
    return {n: float((a.double() - b).abs().max() / b.abs().max()) for n, a, b in pairs}


def copy_bandwidth(numbers: int = 1 << 25) -> float:
    """Bytes a second of a plain copy, read and written, by one thread and CPU time: the roof of memory."""
    source, target = torch.ones(numbers), torch.empty(numbers)
    target.copy_(source)
    return 8 * numbers / min(cpu_seconds(lambda: target.copy_(source)) for _ in range(3))


def _write(record: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_json(record, folder / "scan_cpu.json")
    (folder / "scan_cpu.md").write_text(markdown(record), encoding="utf-8")
    _plot(record, folder / "scan_cpu.png")
    print(f"wrote {folder}/scan_cpu.md, scan_cpu.json, scan_cpu.png")


def markdown(record: dict[str, Any]) -> str:
    """The record as a page."""
    packages = ", ".join(f"{n} {v}" for n, v in record["versions"].items())
    lines = [
        "# Selective scan on the CPU",
        "",
        f"{record['protocol']}.",
        f"{record['processor']} ({record['capability']}), {record['threads']} thread(s); {packages}.",
        "In brackets: times the CPU seconds of our compiled backend (`cpu`). Memory: peak above the inputs, in",
        "tensors of channels x L. Share of the memory roof: u, delta, B, C read and out written once, at the speed of",
        f"a plain copy ({record['copy_bandwidth'] / 1e9:.1f} GB/s); updates: states advanced per CPU second, forward.",
        "A dash: not run. Autograd through the reference's loop takes minutes; mambapy keeps every state of every step",
        "in memory and is left out where that needs more than a few GB.",
        "",
        "| channels x L | layout | scan | forward (s) | forward and backward (s) | updates (G/s) "
        "| share of memory roof | memory forward | memory both |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in record["rows"]:
        cells = [f"{row['channels']} x {row['length']}", row["layout"], row["scan"]]
        for kind in ("forward", "forward and backward"):
            cells.append(f"{row[kind]:.4f} ({row[f'{kind}, ratio']:.1f}x)" if row[kind] else "-")
        work = row["channels"] * row["length"] * STATES
        moved = 4 * row["length"] * (3 * row["channels"] + 2 * STATES)
        cells += [f"{work / row['forward'] / 1e9:.2f}", f"{moved / record['copy_bandwidth'] / row['forward']:.0%}"]
        memory = row.get("memory", {})
        cells += [f"{memory[k]:.2f}" if k in memory else "-" for k in ("forward", "forward and backward")]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Largest error of `cpu` against float64, relative to the largest entry of each array:", ""]
    for length, found in record["errors"].items():
        lines.append(f"- {length}: " + ", ".join(f"{name} {error:.1e}" for name, error in found.items()))
    return "\n".join([*lines, ""])


def _plot(record: dict[str, Any], path: Path) -> None:
    """Bars of CPU seconds by size, forward and backward, on a logarithmic scale."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4), sharey=True)
    rows = [row for row in record["rows"] if row["layout"] == LAYOUTS[0]]
    sizes = sorted({(row["channels"], row["length"]) for row in rows}, key=lambda size: size[0] * size[1])
    names = list(dict.fromkeys(row["scan"] for row in rows))
    for axis, kind in zip(axes, ("forward", "forward and backward"), strict=True):
        for index, name in enumerate(names):
            heights = {(row["channels"], row["length"]): row[kind] for row in rows if row["scan"] == name}
            places = [at + 0.8 * index / len(names) for at in range(len(sizes))]
            axis.bar(places, [heights.get(size) or 0 for size in sizes], 0.8 / len(names), label=name)
        axis.set_xticks([at + 0.3 for at in range(len(sizes))], [f"{d} x {length}" for d, length in sizes])
        axis.set(yscale="log", title=kind, xlabel="channels x L")
    axes[0].set_ylabel("CPU seconds")
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=len(names), frameon=False)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)

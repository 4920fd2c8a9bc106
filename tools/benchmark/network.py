"""``python -m tools benchmark network``: CPU seconds and peak memory of forward passes, with random weights."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from common import networks
from common.bundle import build_network, bundle_folders
from common.errors import InputError
from common.machine import peak_memory_mb, processor, versions
from common.writing import save_json

# what the authors' own code took for the same network and volume (CPU seconds, peak resident GB, measured beforehand
# on a Zen 5 processor with AVX-512, two threads, python-loop scan): another machine, so a bar and not a ratio
AUTHORS = {
    ("mambamorph", (192, 208, 176)): "61.4, 8.3",
    ("vmambamorph", (128, 128, 128)): "74.9, 8.8",
    ("psmamba_net", (160, 192, 160)): "needs about 40 GB",
    ("transmorph", (192, 208, 176)): "47.7, 7.2",
    ("vit_v_net", (160, 192, 224)): "14.2, 4.3",
}
DEFAULT = (
    "mambamorph:192x208x176", "mambamorph:192x208x176:bf16",
    "vmambamorph:128x128x128", "vmambamorph:128x128x128:bf16",
    "psmamba_net:160x192x160", "psmamba_net_diff:160x192x160", "vit_v_net:160x192x224", "caml_morph:160x192x160",
    "voxelmorph:192x208x176", "transmorph:192x208x176", "xmorpher:160x192x160",
)  # fmt: skip


def benchmark_network(
    output_dir: str = "docs/benchmarks",
    cases: Sequence[str] = DEFAULT,
    threads: int = 2,
    repeats: int = 1,
    options: str = "{}",
) -> None:
    """Run one forward pass of each network in a process of its own; write network_cpu.md and network_cpu.json.

    Args:
        output_dir: folder of the two files.
        cases: entries ``name:XxYxZ`` or ``name:XxYxZ:bf16`` with commas between them; a bundle's folder name, or a
            class of ``common.networks``.
        threads: torch threads.
        repeats: forward passes in each process; the median CPU seconds are reported.
        options: JSON object of constructor arguments for all of them.

    Raises:
        InputError: a case that is written otherwise, or whose network cannot be built or run.
    """
    rows = []
    for case in cases:
        rows.append(run_case(case, threads, repeats, options))
        print(rows[-1])
    record = {
        "protocol": f"one pair, random weights, inference mode, {threads} threads, one process a row, compiled kernels",
        "processor": processor(),
        "versions": versions(("torch", "monai", "numba")),
        "rows": rows,
    }
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    save_json(record, folder / "network_cpu.json")
    (folder / "network_cpu.md").write_text(markdown(record), encoding="utf-8")
    print(f"wrote {folder}/network_cpu.md, network_cpu.json")


def run_case(case: str, threads: int, repeats: int, options: str) -> dict[str, Any]:
    """Measure one entry of ``cases`` in a process of its own.

    Raises:
        InputError: it is written otherwise, or its process failed; with the last line that it said.
    """
    found = re.fullmatch(r"(\w+):(\d+)x(\d+)x(\d+)(?::(fp32|bf16))?", case)
    if found is None:
        raise InputError(f"expected a case such as mambamorph:192x208x176 or mambamorph:192x208x176:bf16, got {case!r}")
    name, volume, precision = found[1], tuple(int(size) for size in found.groups()[1:4]), found[5] or "fp32"
    call = f"print_forward({name!r}, {volume!r}, {threads}, {repeats}, {options!r}, {precision!r})"
    program = f"from tools.benchmark.network import print_forward; {call}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"benchmark network {case}: {(done.stderr.splitlines() or ['it ended without a word'])[-1]}")
    return {"network": name, "volume": volume, "precision": precision} | json.loads(done.stdout.splitlines()[-1])


def build(name: str, options: str = "{}") -> torch.nn.Module:
    """Return the network of a bundle (its ``network_def``) or of a class, with constructor arguments replaced.

    Raises:
        InputError: there is no such bundle and no such class.
    """
    if name in bundle_folders():
        return build_network(name, json.loads(options)).eval()
    if not hasattr(networks, name):
        raise InputError(f"expected a bundle's folder name or one of {', '.join(networks.__all__)}, got {name!r}")
    return getattr(networks, name)(**json.loads(options)).eval()


def print_forward(
    name: str, volume: tuple[int, int, int], threads: int, repeats: int, options: str, precision: str = "fp32"
) -> None:
    """Build the network, run it, print CPU seconds, wall seconds and the process's peak memory as JSON."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = build(name, options)
    taken = []
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        network(torch.rand(1, 2, 32, 32, 32))  # kernels are compiled or loaded from disk here
        pair = torch.rand(1, 2, *volume)
        for _ in range(repeats):
            start, wall = time.process_time(), time.perf_counter()
            network(pair)
            taken.append((time.process_time() - start, time.perf_counter() - wall))
    taken.sort()
    seconds, wall = taken[len(taken) // 2]
    peak = peak_memory_mb() * 1e6 / 2**30
    print(json.dumps({"cpu_seconds": seconds, "wall_seconds": wall, "peak_gib": peak}))


def markdown(record: dict[str, Any]) -> str:
    """The record as a page."""
    packages = ", ".join(f"{n} {v}" for n, v in record["versions"].items())
    lines = [
        "# Networks on the CPU",
        "",
        f"{record['protocol']}. {record['processor']}; {packages}. Peak memory is that of the whole process.",
        "",
        "| network | volume | precision | CPU seconds | wall seconds | peak GiB | authors' code: CPU s, GB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in record["rows"]:
        theirs = AUTHORS.get((row["network"], tuple(row["volume"])), "-")
        size = " x ".join(str(n) for n in row["volume"])
        figures = f"{row['cpu_seconds']:.1f} | {row['wall_seconds']:.1f} | {row['peak_gib']:.2f}"
        lines.append(f"| {row['network']} | {size} | {row['precision']} | {figures} | {theirs} |")
    return "\n".join([*lines, ""])

"""``python -m tools benchmark network``: CPU seconds and peak memory of forward passes, with random weights."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from common import networks
from tools.doctor import package_version, processor_name

# what the authors' own code took for the same network and volume (CPU seconds, peak resident GB, measured beforehand
# on a Zen 5 processor with AVX-512, two threads, python-loop scan): another machine, so a bar and not a ratio
AUTHORS = {("MambaMorph", (192, 208, 176)): (61.4, 8.33), ("VMambaMorph", (128, 128, 128)): (74.9, 8.78)}
DEFAULT = ("MambaMorph:192x208x176", "VMambaMorph:128x128x128", "PSMambaNet:160x192x160")


def benchmark_network(
    output_dir: str = "docs/benchmarks",
    cases: str | Sequence[str] = DEFAULT,
    threads: int = 2,
    repeats: int = 1,
    options: str = "{}",
) -> None:
    """Run one forward pass of each network in a process of its own; write network_cpu.md and network_cpu.json.

    Args:
        output_dir: folder of the two files.
        cases: entries ``Class:XxYxZ`` with commas between them; classes of ``common.networks``.
        threads: torch threads.
        repeats: forward passes in each process; the median CPU seconds are reported.
        options: JSON object of constructor arguments for all of them.
    """
    rows = []
    for case in cases.split(",") if isinstance(cases, str) else cases:
        name, _, text = case.partition(":")
        volume = tuple(int(size) for size in text.split("x"))
        program = (
            "from tools.benchmark_network import print_forward; "
            f"print_forward({name!r}, {volume!r}, {threads}, {repeats}, {options!r})"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"benchmark network {case} failed:\n{done.stderr[-2000:]}")
        rows.append({"network": name, "volume": volume} | json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1])
    record = {
        "protocol": f"one pair, random weights, float32, inference mode, {threads} threads, one process a network",
        "processor": processor_name(),
        "versions": {n: package_version(n) for n in ("torch", "monai", "numba")},
        "rows": rows,
    }
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "network_cpu.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (folder / "network_cpu.md").write_text(markdown(record), encoding="utf-8")
    print(f"wrote {folder}/network_cpu.md, network_cpu.json")


def print_forward(name: str, volume: tuple[int, int, int], threads: int, repeats: int, options: str) -> None:
    """Build the network, run it, print CPU seconds, wall seconds and the process's peak memory as JSON."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = getattr(networks, name)(**json.loads(options)).eval()
    pair = torch.rand(1, 2, *volume)
    taken = []
    with torch.inference_mode():
        for _ in range(repeats):
            start, wall = time.process_time(), time.perf_counter()
            network(pair)
            taken.append((time.process_time() - start, time.perf_counter() - wall))
    taken.sort()
    seconds, wall = taken[len(taken) // 2]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"cpu_seconds": seconds, "wall_seconds": wall, "peak_gib": peak}))


def markdown(record: dict[str, Any]) -> str:
    """The record as a page."""
    versions = ", ".join(f"{n} {v}" for n, v in record["versions"].items() if v)
    lines = [
        "# Networks on the CPU",
        "",
        f"{record['protocol']}. {record['processor']}; {versions}. Peak memory is that of the whole process.",
        "",
        "| network | volume | CPU seconds | wall seconds | peak GiB | authors' code (another machine): CPU s, GB |",
        "|---|---|---|---|---|---|",
    ]
    for row in record["rows"]:
        known = AUTHORS.get((row["network"], tuple(row["volume"])))
        theirs = f"{known[0]}, {known[1]}" if known else "-"
        size = " x ".join(str(n) for n in row["volume"])
        figures = f"{row['cpu_seconds']:.1f} | {row['wall_seconds']:.1f} | {row['peak_gib']:.2f}"
        lines.append(f"| {row['network']} | {size} | {figures} | {theirs} |")
    return "\n".join([*lines, ""])

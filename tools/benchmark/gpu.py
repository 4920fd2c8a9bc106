"""``python -m tools gpu_checks``: everything that needs a GPU, in one run, written down with hardware and versions."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from common.errors import InputError
from common.machine import versions
from common.writing import save_json
from tools.benchmark import gpu_timing as timing

ROOT = Path(__file__).resolve().parents[2]
SIZES = ((192, 16128), (384, 13440), (192, 107520))  # channels, steps: the papers' networks at their volumes
STATES = 16


def gpu_checks(
    output_dir: str | None = None,
    build_mamba_ssm: bool = False,
    sweep: bool = False,
    tests: bool = True,
    networks: bool = True,
    repeats: int = 20,
    device: str = "cuda",
    sizes: Sequence[Sequence[int]] = SIZES,
    volume_limit: int | None = None,
) -> None:
    """Run every check that is open without a GPU; write gpu_checks.md and gpu_checks.json.

    Steps: a record of the machine; ``pytest -m gpu``; errors of the Triton scan against float64; its times, memory and
    share of the bandwidth limit, beside mamba-ssm's where that can be imported; the four 3D walks; every network.

    Args:
        output_dir: folder of the record; ``docs/benchmarks`` of this checkout by default.
        build_mamba_ssm: first compile mamba-ssm and causal-conv1d for this GPU alone (needs nvcc, takes minutes).
        sweep: also time other tile shapes and chunk lengths of the Triton scan.
        tests: run ``pytest -m gpu``.
        networks: time the bundles' networks.
        repeats: timed runs of each entry.
        device: "cuda"; "cpu" tries the script out with the plain-torch scan and says so in the record.
        sizes: (channels, steps) of the scans.
        volume_limit: longest side of the volumes given to the networks.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(f"gpu_checks needs a CUDA device, torch {torch.__version__} sees none")
    folder = Path(output_dir) if output_dir else ROOT / "docs" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"repeats": repeats}
    if build_mamba_ssm:
        from tools.benchmark.build_mamba_ssm import build_mamba_ssm as build

        record["built"] = build(torch.cuda.get_device_capability(), folder / "build_mamba_ssm.log")
    record["machine"] = machine(device)
    bandwidth = record["copy_bytes_per_second"] = timing.copy_bandwidth(device)
    steps: dict[str, Any] = {
        "tests": run_tests if tests else None,
        "errors": lambda: timing.compare_errors(sizes, STATES, device),
        "scans": lambda: timing.compare_scans(sizes, STATES, (1, 2), device, repeats, bandwidth),
        "walks": lambda: timing.compare_walks(32 if device == "cuda" else 4, 192, STATES, device, repeats),
        "sweep": (lambda: sweep_tiles(sizes, device, repeats)) if sweep else None,
        "networks": (lambda: timing.compare_networks(ROOT / "bundles", device, max(5, repeats // 4), volume_limit))
        if networks else None,
    }  # fmt: skip
    for name, step in steps.items():
        if step is None:
            continue
        print(f"gpu_checks: {name}", flush=True)
        record[name] = _guarded(step)
        _write(folder, record)  # after every step, so that an interruption keeps what is there
    print(f"gpu_checks: wrote {folder / 'gpu_checks.md'}")


def _guarded(step: Callable[[], Any]) -> Any:
    """Run a step; a failure is recorded in its place and does not lose the others."""
    try:
        return step()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def machine(device: str) -> dict[str, Any]:
    """Date, versions and hardware."""
    names = ("python", "torch", "triton", "monai", "mamba-ssm", "causal-conv1d")
    installed = {**dict.fromkeys(names, "not installed"), **versions(names)}
    found = {"date": datetime.now(timezone.utc).date().isoformat(), **installed}
    if device == "cpu":
        return found | {"device": "CPU: a trial of the script, not a GPU record"}
    properties = torch.cuda.get_device_properties(0)
    driver: list[str] = []
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(query, capture_output=True, text=True).stdout.splitlines()[:1]
    return found | {
        "device": properties.name, "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count, "memory_gb": round(properties.total_memory / 2**30, 1),
        "cuda": torch.version.cuda, "hip": torch.version.hip, "driver": "".join(driver),
    }  # fmt: skip


def run_tests() -> dict[str, Any]:
    """Run ``pytest -m gpu`` and return its closing line and, if it failed, the end of its output."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    summary = re.sub(r"^=+ | =+$", "", lines[-1]) if lines else done.stderr[-500:]
    return {"passed": done.returncode == 0, "summary": summary} | ({"output": lines[-60:]} if done.returncode else {})


def sweep_tiles(sizes: Sequence[Sequence[int]], device: str, repeats: int) -> list[dict[str, Any]]:
    """Time the Triton scan with other shapes of a thread's tile and other chunk lengths, one changed at a time."""
    from common.scan.triton import launch, plan

    rows = []
    shapes = [plan.ThreadShape(lanes, states) for lanes, states in ((1, 16), (2, 16), (2, 8), (4, 16), (4, 8), (4, 4))]
    trials: list[tuple[str, ModuleType, Any]] = [("FORWARD", launch, s) for s in shapes] + [
        ("BACKWARD", launch, s) for s in shapes
    ]
    trials += [("_WARPS_WANTED", plan, n) for n in (792, 1584, 3168)]
    trials += [("_RESIDENT", plan, n) for n in (8, 12, 16, 24)]
    for name, module, value in trials:
        usual = getattr(module, name)
        setattr(module, name, value)
        try:
            for channels, length in sizes:
                given = timing.scan_inputs(1, channels, length, STATES, device)
                works = timing.directions({"triton": timing.scan_peers(device)["triton"]}, given)
                ms = {d: timing.medians(w, device, repeats)["triton"]["ms"] for d, w in works.items()}
                rows.append(
                    {"changed": name.strip("_").lower(), "to": str(value), "channels": channels, "length": length, **ms}
                )
        finally:
            setattr(module, name, usual)
    return rows


def _write(folder: Path, record: dict[str, Any]) -> None:
    """Write the record as JSON and as a page."""
    save_json(record, folder / "gpu_checks.json")
    (folder / "gpu_checks.md").write_text(page(record))


def page(record: dict[str, Any]) -> str:
    """The record as markdown."""
    lines = [
        "# GPU checks",
        "",
        "Written by `python -m tools gpu_checks`; what each figure means is in [gpu.md](../gpu.md).",
        "",
    ]
    lines += [f"- {name}: {value}" for name, value in record["machine"].items()]
    lines += [f"- copy bandwidth: {record['copy_bytes_per_second'] / 1e12:.2f} TB/s, read and written together"]
    lines += [
        f"- {record['repeats']} timed runs of each entry, by turns; medians; a gigabyte overwritten before each run",
        "",
    ]
    titles = {
        "tests": "Tests that need a GPU", "errors": "Errors against float64, relative to the largest entry",
        "scans": "Selective scan", "walks": "Four walks of VMambaMorph over 32^3 voxels, 192 channels",
        "sweep": "Other tile shapes", "networks": "Networks of the bundles",
    }  # fmt: skip
    for name, title in titles.items():
        if name in record:
            lines += [f"## {title}", "", *_section(record[name]), ""]
    return "\n".join(lines)


def _section(found: Any) -> list[str]:
    """A list of rows or a dictionary of them as a table, anything else as points."""
    if isinstance(found, dict) and found and all(isinstance(value, dict) for value in found.values()):
        found = [{"entry": name, **row} for name, row in found.items()]
    if isinstance(found, dict):
        return [f"- {name}: {value}" for name, value in found.items() if name != "output"]
    columns = list(dict.fromkeys(name for row in found for name in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(_cell(row.get(name, "")) for name in columns) + " |" for row in found]


def _cell(value: Any) -> str:
    """Numbers with three or four digits that count."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)

"""``python -m tools benchmark registration``: bundles and classical tools on one list, scored alike."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common.errors import InputError
from common.evaluation import evaluate_pair, protocol, read_landmarks, read_pairs, read_structures, write_evaluation
from common.evaluation.tables import record_name, save_record
from common.images import read_header, read_volume
from common.machine import versions
from tools.benchmark.peers import PEERS, Peer
from tools.benchmark.peers.bundle import bundle_digest, ready_names, refined_names
from tools.benchmark.peers.worker import find_method
from tools.benchmark.report import write_report

ROOT = Path(__file__).resolve().parents[2]
#: What tells libraries how many threads they may use.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
#: Names in older records and today's.
_RENAMED = {"peak_megabytes": "peak_memory_mb"}


def benchmark_registration(
    datalist: str,
    output: str,
    methods: str | Sequence[str] = "all",
    section: str = "validation",
    threads: int = 1,
    resume: bool = False,
    keep_fields: bool = False,
    ours: str = "",
) -> None:
    """Register every pair of a datalist with every method and draw the tables and figures.

    Each method and pair runs in a process of its own, on the CPU. Every field is brought to the fixed image's grid and
    scored by the same code on the same labels.

    Args:
        datalist: Learn2Reg-style JSON with pairs that are affinely aligned, and their labels.
        output: folder for ``table.md``, the CSV, JSON and PNG files.
        methods: names with commas between them: bundles' networks (``mambamorph``, ``mambamorph:2-1`` with passes),
            bundles as users get them (``mambamorph+refine``; ``none+refine`` without a network; ``+fast``,
            ``+accurate`` for a preset), classical tools (``ants_syn``), ``none`` for the affine start, ``bundles`` for
            all networks with weights, ``refined`` for the refinement alone and behind each of them, ``classical`` for
            all tools that are installed, ``all`` for everything.
        section: the datalist's section.
        threads: CPU threads of each method.
        resume: take over records of an earlier run into the same folder that were made in the same way.
        keep_fields: keep every field as ``fields/*.npy``, for ``benchmark figures``.
        ours: methods, with commas between them, that the statistics compare with all others; the bundles without.

    Raises:
        InputError: an unknown method, or a datalist that cannot be used.
    """
    names = method_names(methods)
    chosen = [find_method(name) for name in names]
    missing = [peer for peer in chosen if not peer.installed]
    pairs, structures = read_pairs(datalist, section), read_structures(datalist)
    folder = Path(output)
    (folder / "records").mkdir(parents=True, exist_ok=True)
    records: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    runs = [(pair, peer) for pair in pairs for peer in chosen if peer.installed]
    for pair, peer in tqdm(runs, unit="registration", disable=not sys.stderr.isatty()):
        job = _job(peer.name, pair, threads)
        record = _earlier(folder, peer, pair, job) if resume else None
        if record is None:
            record = _run(peer, pair, job, structures, folder if keep_fields else None)
            if "error" in record:
                failures.append({"method": peer.title, "pair": pair["name"], "error": record["error"]})
                print(f"{peer.name}, {pair['name']}: failed: {record['error']}", flush=True)
                continue
            save_record(folder, record)
        records.append(record)
        dice = record["scores"].get("dice_nearest", float("nan"))
        print(f"{peer.name}, {pair['name']}: Dice {dice:.4f}, {record['cpu_seconds']:.1f} CPU s", flush=True)
    if not records:
        raise InputError("no method gave a result: " + "; ".join(f"{f['method']}: {f['error']}" for f in failures))
    facts = _protocol(datalist, section, pairs, structures, threads, chosen)
    own = our_methods(ours, records)
    write_evaluation(folder, records, structures, facts, own)
    write_report(folder, records, structures, facts, missing, failures, own)
    print(f"written to {folder}: table.md, evaluation.json, pairs.csv, structures.csv, summary.csv, figures")


def method_names(methods: str | Sequence[str]) -> list[str]:
    """Expand the command's ``methods``."""
    asked = methods.split(",") if isinstance(methods, str) else [str(m) for m in methods]
    groups = {"bundles": ready_names(), "refined": refined_names()}
    groups["classical"] = [name for name, peer in PEERS.items() if peer.installed]
    groups["all"] = [*groups["bundles"], *groups["refined"], *groups["classical"]]
    names = [name for word in asked for name in groups.get(word.strip(), [word.strip()]) if name]
    return list(dict.fromkeys(names))


def our_methods(asked: str, records: Sequence[dict[str, Any]]) -> list[str]:
    """Titles of the methods that are compared with the others: those asked for, else the bundles, else the first.

    Raises:
        InputError: a method that is asked for is not in the records, or there is no other beside them.
    """
    titles = {record["job"]["method"]: record["method"] for record in records}
    names = [word.strip() for word in asked.split(",") if word.strip()]
    if unknown := [name for name in names if name not in titles]:
        raise InputError(f"ours: expected methods of this run, {', '.join(titles)}, got {', '.join(unknown)}")
    names = names or [name for name in titles if name not in PEERS]
    if len(names) == len(titles):
        names = names[:1]
    return [titles[name] for name in names]


def _job(method: str, pair: dict[str, Any], threads: int) -> dict[str, Any]:
    """What defines a run: records with an equal job are interchangeable."""
    job = {"method": method, "fixed": pair["fixed"], "moving": pair["moving"], "threads": threads}
    if method in PEERS:
        distribution = PEERS[method].distribution
        return job | {"version": versions((distribution,)).get(distribution, "") if distribution else ""}
    return job | {"bundle": bundle_digest(method)}


def _earlier(folder: Path, peer: Peer, pair: dict[str, Any], job: dict[str, Any]) -> dict[str, Any] | None:
    path = folder / "records" / record_name(peer.title, pair["name"])
    if not path.is_file():
        return None
    record = json.loads(path.read_text())
    if record.get("job") != job:
        return None
    record = {_RENAMED.get(name, name): value for name, value in record.items()}
    # JSON knows neither integer keys nor NaN.
    record["scores"] = {k: np.nan if v is None else v for k, v in record["scores"].items()}
    record["structures"] = {
        int(label): {k: np.nan if v is None else v for k, v in scores.items()}
        for label, scores in record["structures"].items()
    }
    return record


def _run(
    peer: Peer, pair: dict[str, Any], job: dict[str, Any], structures: dict[int, str], keep: Path | None
) -> dict[str, Any]:
    """Register in a process of its own and score the field; ``{"error": ..}`` where that failed."""
    with tempfile.TemporaryDirectory(prefix="registration_") as scratch:
        folder = Path(scratch)
        (folder / "job.json").write_text(json.dumps(job))
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(job["threads"]))}
        # A GPU that is there must not make one method faster than the others.
        environment["CUDA_VISIBLE_DEVICES"] = ""
        environment["PYTHONPATH"] = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)
        command = [sys.executable, "-m", "tools.benchmark.peers.worker", str(folder / "job.json")]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not (folder / "result.json").is_file():
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            return {"error": lines[-1] if lines else f"exit code {done.returncode}"}
        result = json.loads((folder / "result.json").read_text())
        ddf = np.load(folder / "ddf.npy")
    if keep is not None:
        (keep / "fields").mkdir(exist_ok=True)
        np.save(keep / "fields" / record_name(peer.title, pair["name"]).replace(".json", ".npy"), ddf)
    return {
        "method": peer.title,
        "pair": pair["name"],
        "kind": pair["kind"],
        "job": job,
        **result,
        **score(pair, ddf, structures),
    }


def score(pair: dict[str, Any], ddf: np.ndarray, structures: dict[int, str]) -> dict[str, Any]:
    """Read a pair's labels and landmarks and score a field on the fixed grid."""
    fixed_affine, moving_affine = (read_header(pair[key], key).grid.affine for key in ("fixed", "moving"))
    labels = [read_volume(pair[key], key).voxels if key in pair else None for key in ("fixed_label", "moving_label")]
    landmarks = read_landmarks(pair)
    return evaluate_pair(ddf, fixed_affine, labels[0], labels[1], moving_affine, list(structures) or None, landmarks)


def _protocol(
    datalist: str,
    section: str,
    pairs: Sequence[dict[str, Any]],
    structures: dict[int, str],
    threads: int,
    chosen: Sequence[Peer],
) -> dict[str, Any]:
    grid = read_header(pairs[0]["fixed"], "fixed").grid
    return protocol(
        structures,
        datalist=Path(datalist).name,
        section=section,
        pairs=len(pairs),
        grid=list(grid.shape),
        spacing_mm=[float(f"{s:.6g}") for s in grid.spacing],
        threads=threads,
        start="pairs are affinely aligned; every method does its deformable stage only",
        methods={peer.title: peer.settings for peer in chosen},
        tools=versions({peer.distribution for peer in chosen if peer.distribution}),
    )

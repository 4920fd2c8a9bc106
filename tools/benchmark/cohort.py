"""``python -m tools benchmark cohort``: pairs an hour, memory and disk of a list, ours and classical tools'."""

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.evaluation import read_pairs
from common.images import read_header
from common.machine import processor, versions
from common.registration.finished import finished
from common.writing import check_writable, save_json
from tools.benchmark.cohort_report import check_page, write_cohort_report
from tools.benchmark.cohort_storage import measure_storage
from tools.benchmark.peers import PEERS
from tools.benchmark.registration import ROOT, THREAD_VARIABLES
from tools.benchmark.watched import Taken, watched
from tools.cohort.state import shard

Pairs = Sequence[Mapping[str, str]]
#: How the long list is registered: it is to show what a place in the list costs, not what a pair does.
CHEAP = {"align": "none", "brain": "none", "refine": "off", "outputs": "none", "spacing": 8.0, "passes": [1]}


def benchmark_cohort(
    datalist: str,
    output: str,
    bundle: str = "mambamorph",
    section: str = "validation",
    pairs: int = 6,
    many: int = 200,
    processes: Sequence[int] = (1, 2),
    peers: Sequence[str] = ("ants_syn", "greedy"),
    core_hour: float = 0.04,
    terabyte_month: float = 23.0,
    page: str = "",
    **options: Any,
) -> None:
    """Measure what a list of pairs takes on this machine's CPU, and put a hundred thousand on paper from it.

    What an earlier run into the same folder measured of the same list and options is taken over.

    Args:
        datalist: JSON file with pairs that are affinely aligned; labels are left out.
        output: folder for cohort.json and table.md.
        bundle: name or folder of the bundle.
        section: the datalist's section; its pairs are repeated where more are asked for.
        pairs: how many are registered by each method.
        many: length of the list whose second half is compared with its first; 0 leaves that out.
        processes: numbers of processes to try, with commas between them; they share the cores.
        peers: classical tools, with commas between them; those that are not installed are said to be.
        core_hour: assumed price of one core for an hour, US dollars.
        terabyte_month: assumed price of a terabyte for a month, US dollars.
        page: Markdown file whose marked part becomes the tables.
        options: keys of inference.json for the bundle, such as --spacing 2 --passes "[1]".

    Raises:
        InputError: an unknown tool, a list that cannot be used, a page without its marks, or the bundle cannot run.
    """
    if unknown := [name for name in peers if name not in PEERS]:
        raise InputError(f"peers: expected some of {', '.join(PEERS)}, got {', '.join(unknown)}")
    if pairs < 1 or 0 < many < 4 or many < 0 or any(count < 1 for count in processes):
        raise InputError(
            "expected 1 and more of pairs and processes, and 0 or 4 and more of many, "
            f"got pairs {pairs}, processes {processes}, many {many}"
        )
    if page:
        check_page(Path(page))
    folder, listed = check_writable(output), read_pairs(datalist, section)
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"datalist": Path(datalist).name, "bundle": bundle, "options": options, "pairs": pairs}
    record = _facts(listed, many, processes, peers, facts) | {"core_hour": core_hour, "terabyte_month": terabyte_month}
    path = folder / "cohort.json"
    _take_over(record, path, many)
    with tempfile.TemporaryDirectory(prefix="cohort_", dir=folder) as name:
        scratch, chosen = Path(name), _repeated(listed, pairs)
        for count in processes:
            for overlap in (False, True):
                row = {"method": bundle, "processes": count, "overlap": overlap}
                if not _known(record, row):
                    more = {**options, "overlap": overlap}
                    done = _ours(scratch / f"ours{count}{overlap}", bundle, chosen, count, more)
                    record["rows"].append(_measured(row, done, pairs))
                    save_json(record, path, 4)
        folders = [scratch / f"ours{processes[0]}False" / "out" / pair["name"] for pair in chosen]
        record["storage"] = record.get("storage") or measure_storage(folders)
        for count in processes:
            for peer in (PEERS[name] for name in peers):
                row = {"method": peer.title, "processes": count, "overlap": None}
                if not peer.installed:
                    record["rows"].append({**row, "not_run": f"not installed (`pip install {peer.distribution}`)"})
                elif not _known(record, row):
                    done = _peer(scratch / f"{peer.name}{count}", peer.name, chosen, count)
                    record["rows"].append(_measured(row, done, pairs))
                save_json(record, path, 4)
        if not record.get("many"):
            record["many"] = _many(scratch / "many", bundle, _repeated(listed, many)) if many else None
    save_json(record, path, 4)
    write_cohort_report(record, folder / "table.md", Path(page) if page else None)
    print(f"written to {folder}: cohort.json, table.md" + (f"; {page}" if page else ""))


def _facts(
    listed: Pairs, many: int, processes: Sequence[int], peers: Sequence[str], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """What is known before anything runs; the command as it is typed, without the folders of this machine."""
    grid = read_header(listed[0]["fixed"], "fixed").grid
    words = {"datalist": facts["datalist"], "output": "DIR", "bundle": facts["bundle"], "pairs": facts["pairs"]}
    words |= {"many": many, "processes": ",".join(map(str, processes)), **facts["options"]}
    given = [word for name, value in words.items() for word in (f"--{name}", str(value))]
    return {
        "command": shlex.join(["python", "-m", "tools", "benchmark", "cohort", *given]),
        "processor": processor(),
        "cores": os.cpu_count(),
        "versions": versions(("python", "torch", "monai", "registration-bundles", "antspyx", "picsl_greedy")),
        **facts,
        "different_pairs": min(facts["pairs"], len(listed)),
        "grid": [int(n) for n in grid.shape],
        "spacing_mm": [round(float(s), 4) for s in grid.spacing],
        "methods": {PEERS[name].title: PEERS[name].settings for name in peers},
        "rows": [],
    }


def _repeated(listed: Pairs, count: int) -> list[dict[str, str]]:
    """As many pairs as are asked for, images alone, each with a name of its own."""
    chosen = islice(cycle(listed), count)
    return [
        {"name": f"pair{number:05}", "fixed": pair["fixed"], "moving": pair["moving"]}
        for number, pair in enumerate(chosen)
    ]


def _take_over(record: dict[str, Any], path: Path, many: int) -> None:
    """Add what an earlier run into the same folder measured of the same list and options; nothing that failed."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    changing = ("command", "methods", "rows", "core_hour", "terabyte_month")
    facts = json.loads(json.dumps({name: value for name, value in record.items() if name not in changing}))
    if any(before.get(name) != value for name, value in facts.items()):
        return
    record["rows"] = [row for row in before["rows"] if "not_run" not in row]
    record["methods"] = {**before["methods"], **record["methods"]}
    record["storage"] = before.get("storage")
    long = before.get("many") or {}
    record["many"] = long if long.get("pairs") == many and "not_run" not in long else None


def _known(record: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    return any(row.items() <= known.items() for known in record["rows"])


def _measured(row: Mapping[str, Any], taken: Taken, pairs: int) -> dict[str, Any]:
    """A row of what a method took; one that failed says so and has no figures."""
    whole = {**row, "threads": _threads(row["processes"])}
    if taken.error:
        whole["not_run"] = f"failed: {taken.error}"
    else:
        whole |= {
            "seconds": taken.seconds,
            "cpu_seconds_a_pair": taken.cpu_seconds / pairs,
            "pairs_an_hour": 3600 * pairs / taken.seconds,
            "largest_mb": taken.largest_mb,
            "together_mb": taken.together_mb,
            "others_percent": taken.others_percent,
        }
    said = whole.get("not_run") or f"{taken.seconds:.0f} s"
    print(f"{row['method']}, {row['processes']} process(es): {said}", flush=True)
    return whole


def _threads(count: int) -> int:
    return max(1, (os.cpu_count() or 1) // count)


def _environment(threads: int | None) -> dict[str, str]:
    """Without a GPU; threads are the command's own matter where none are given."""
    kept = {name: text for name, text in os.environ.items() if name not in THREAD_VARIABLES}
    kept |= dict.fromkeys(THREAD_VARIABLES, str(threads)) if threads else {}
    kept["PYTHONPATH"] = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    return kept | {"CUDA_VISIBLE_DEVICES": ""}


def _ours(place: Path, bundle: str, chosen: Pairs, count: int, options: Mapping[str, Any]) -> Taken:
    """``python -m tools cohort`` as a user starts it."""
    place.mkdir(exist_ok=True)
    (place / "list.json").write_text(json.dumps(chosen), encoding="utf-8")
    words = ["--datalist", str(place / "list.json"), "--output_dir", str(place / "out"), "--bundle", bundle]
    words += ["--workers", str(count)]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    return watched([[sys.executable, "-m", "tools", "cohort", *words]], place, _environment(None))


def _peer(place: Path, peer: str, chosen: Pairs, count: int) -> Taken:
    """A classical tool, each process with every ``count``-th pair."""
    commands = []
    for number in range(count):
        folder = place / str(number)
        folder.mkdir(parents=True)
        job = {"method": peer, "threads": _threads(count), "pairs": shard(chosen, number, count)}
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        commands.append([sys.executable, "-m", "tools.benchmark.cohort_peers", str(folder / "job.json")])
    return watched(commands, place, _environment(_threads(count)))


def _many(place: Path, bundle: str, chosen: Pairs) -> dict[str, Any]:
    """The long list in one process: seconds a pair and memory by halves, and a start with all done."""
    taken = _ours(place, bundle, chosen, 1, CHEAP)
    found: dict[str, Any] = {"pairs": len(chosen), "options": CHEAP}
    if taken.error:
        return found | {"not_run": f"failed: {taken.error}"}
    ended = [(place / "out" / pair["name"] / "metrics.json").stat().st_mtime for pair in chosen]
    half, last = len(chosen) // 2, len(chosen) - 1
    peaks = [(finished(chosen[n], place / "out") or {}).get("peak_memory_mb") for n in (half - 1, last)]
    again = _ours(place, bundle, chosen, 1, CHEAP)
    return found | {
        "seconds": taken.seconds,
        "others_percent": taken.others_percent,
        "first_half_seconds_a_pair": (ended[half - 1] - ended[0]) / (half - 1),
        "second_half_seconds_a_pair": (ended[last] - ended[half - 1]) / (last - half + 1),
        "first_half_peak_mb": peaks[0],
        "second_half_peak_mb": peaks[1],
        "again_seconds": again.seconds,
    }

"""Mixed requests in their hundreds, faults among them: what came back, how long it took, what the server kept.

``python -m tests.tools.monailabel_app.load [REQUESTS]`` prints a table for ``docs/label.md``.
"""

import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from tests.tools.monailabel_app.serving import QUICK, Serving, damaged, files_left, make_studies, serving

#: Clients at a time.
CLIENTS = 4
Request = Callable[[Serving, int], Any]


def _infer(server: Serving, image: str, model: str = "atlas_segmentation", files: Any = None, **params: Any) -> Any:
    data = {"params": json.dumps({**QUICK, **params})}
    return server.request("POST", f"/infer/{model}", params={"image": image}, data=data, files=files)


def _upload(server: Serving, name: str, content: bytes) -> Any:
    return server.request("PUT", "/datastore/", params={"image": name}, files={"file": ("a.nii.gz", content)})


def _session(server: Serving, number: int) -> Any:
    created = server.request("PUT", "/session/", files={"files": ("a.nii.gz", _content(server))})
    if created.status_code == 200:
        server.request("DELETE", f"/session/{created.json()['session_id']}")
    return created


def _cancelled(server: Serving, number: int) -> Any:
    """A registration that somebody else ends."""
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(_infer(server, "lps", refinement="accurate")))
    asking.start()
    while not answers and asking.is_alive():
        for row in server.request("GET", "/queue/").json():
            server.request("DELETE", f"/queue/{row['id']}")
        time.sleep(0.01)
    asking.join()
    return answers[0]


def _content(server: Serving) -> bytes:
    return (server.studies / "lps.nii.gz").read_bytes()


def kinds(folder: Path) -> dict[str, tuple[int, set[int], Request]]:
    """Every kind of request: its share in percent, the statuses that are right, and how it is made."""
    faults = {kind: damaged(folder, kind).read_bytes() for kind in ("text", "cut", "huge")}
    busy = {200, 409, 429}  # others cancel whatever waits, and the queue has a limit
    return {
        "information": (20, {200}, lambda s, n: s.request("GET", "/info/")),
        "list of studies": (10, {200}, lambda s, n: s.request("GET", "/datastore/?output=all")),
        "image": (8, {200}, lambda s, n: s.request("GET", "/datastore/image?image=mixed")),
        "next sample": (4, {200}, lambda s, n: s.request("POST", "/activelearning/random")),
        "atlas segmentation": (8, busy, lambda s, n: _infer(s, "lps")),
        "registration": (3, busy, lambda s, n: _infer(s, "lps", "registration", moving="mixed", result="transform")),
        "image with the request": (2, busy, lambda s, n: _infer(s, "", files={"file": ("a.nii.gz", _content(s))})),
        "session": (4, {200, 429}, _session),
        "new image": (3, {200}, lambda s, n: _upload(s, f"new {n}", _content(s))),
        "label": (4, {200}, lambda s, n: s.request("PUT", "/datastore/label?image=lps&tag=load", files={
            "label": ("a.nii", (s.temporary.parent / "labels-of-lps.nii").read_bytes())})),
        "cancelled": (1, busy, _cancelled),
        "wrong model": (5, {404, 429}, lambda s, n: _infer(s, "lps", "nothing")),
        "wrong image": (5, {404, 429}, lambda s, n: _infer(s, "nobody")),
        "wrong parameter": (5, {400, 429}, lambda s, n: _infer(s, "lps", nothing=1)),
        "broken parameters": (3, {400}, lambda s, n: s.request("POST", "/infer/atlas_segmentation?image=lps",
                                                              data={"params": "{"})),
        "name that leads out": (5, {400}, lambda s, n: s.request("GET", "/datastore/image", params={"image": ".."})),
        "file that is no image": (3, {422}, lambda s, n: _upload(s, "bad", faults["text"])),
        "file cut short": (3, {422}, lambda s, n: _upload(s, "bad", faults["cut"])),
        "file that claims to be huge": (2, {422}, lambda s, n: _upload(s, "bad", faults["huge"])),
        "address that is none": (2, {404}, lambda s, n: s.request("GET", "/nothing")),
    }  # fmt: skip


def run(server: Serving, folder: Path, count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Make so many requests; return the lines of the table, and what was wrong."""
    write_labels(server)
    table = kinds(folder)
    names = random.Random(seed).choices(list(table), weights=[share for share, _, _ in table.values()], k=count)
    done: dict[str, list[tuple[int, float]]] = defaultdict(list)
    memory, wrong = [_memory(server)], []

    def ask(number: int) -> None:
        name = names[number]
        began = time.monotonic()
        answer = table[name][2](server, number)
        done[name].append((answer.status_code, time.monotonic() - began))
        if answer.status_code not in table[name][1]:
            wrong.append(f"{name}: {answer.status_code} {answer.text[:200]}")
        if number % max(1, count // 10) == 0:
            memory.append(_memory(server))

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(ask, range(count)))
    memory.append(_memory(server))
    if server.process.poll() is not None:
        wrong.append("the server has ended")
    return _table(done, memory), wrong


def write_labels(server: Serving) -> None:
    """Labels to be submitted: where an image is bright."""
    import nibabel as nib
    import numpy as np

    image = nib.load(server.studies / "lps.nii.gz")
    labels = nib.Nifti1Image((np.asarray(image.dataobj) > 50).astype(np.uint8), image.affine)
    (server.temporary.parent / "labels-of-lps.nii").write_bytes(labels.to_bytes())


def _memory(server: Serving) -> tuple[float, float]:
    """Resident megabytes of the server and of its worker."""
    process = psutil.Process(server.process.pid)
    children = [child for child in process.children(recursive=True) if child.is_running()]
    return process.memory_info().rss / 1e6, sum(_resident(child) for child in children)


def _resident(process: psutil.Process) -> float:
    try:
        return process.memory_info().rss / 1e6
    except psutil.Error:
        return 0.0


def _table(done: dict[str, list[tuple[int, float]]], memory: list[tuple[float, float]]) -> list[str]:
    lines = ["| request | count | statuses | median s | longest s |", "|---|---|---|---|---|"]
    for name, found in done.items():
        statuses: dict[int, int] = defaultdict(int)
        for status, _ in found:
            statuses[status] += 1
        told = ", ".join(f"{status}: {number}" for status, number in sorted(statuses.items()))
        seconds = [second for _, second in found]
        lines.append(f"| {name} | {len(found)} | {told} | {statistics.median(seconds):.3f} | {max(seconds):.2f} |")
    served = " ".join(f"{server:.0f}" for server, _ in memory)
    worked = " ".join(f"{worker:.0f}" for _, worker in memory)
    return [*lines, f"server, MB, from start to end: {served}", f"worker, MB: {worked}"]


def main(count: int) -> int:
    """Print the table; 1 if anything was wrong."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_studies(folder)
        with serving(folder) as server:
            lines, wrong = run(server, folder, count)
            left = files_left(server)
    print("\n".join([*lines, *wrong, f"files left in the temporary folder: {len(left)}"]))
    return 1 if wrong or left else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))

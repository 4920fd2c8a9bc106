"""One method on one pair in a process of its own: ``python -m tools.benchmark.peers.worker job.json``.

A fresh process gives every method the same conditions: its CPU time holds the start of Python and of the libraries, its
peak memory holds nothing of the others.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from common.errors import InputError
from common.machine import peak_memory_mb
from tools.benchmark.peers.base import Images, Peer
from tools.benchmark.peers.bundle import bundle_method, bundle_names, is_bundle
from tools.benchmark.peers.registry import PEERS


def find_method(name: str) -> Peer:
    """The peer or bundle of that name.

    Raises:
        InputError: there is none.
    """
    if name in PEERS:
        return PEERS[name]
    if is_bundle(name):
        return bundle_method(name)
    raise InputError(f"method {name!r}: expected one of {', '.join([*bundle_names(), *PEERS])}")


def main(job: Path) -> None:
    """Run the job and leave ``ddf.npy`` and ``result.json`` beside it."""
    task = json.loads(job.read_text())
    images = Images(task["fixed"], task["moving"], job.parent, task["threads"])
    method = find_method(task["method"])
    start = time.perf_counter()
    ddf = np.asarray(method.register(images), dtype=np.float32)
    seconds = time.perf_counter() - start
    np.save(job.parent / "ddf.npy", ddf)
    spent = os.times()
    result = {
        "seconds": seconds,
        **images.notes,
        "call_seconds": seconds,
        "cpu_seconds": spent.user + spent.system + spent.children_user + spent.children_system,
        "peak_memory_mb": peak_memory_mb(),
    }
    (job.parent / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

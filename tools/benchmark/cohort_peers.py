"""A classical tool on its share of a list, in one process: ``python -m tools.benchmark.cohort_peers job.json``."""

import json
import shutil
import sys
import time
from pathlib import Path

from tools.benchmark.peers import PEERS, Images


def main(path: Path) -> None:
    """Register the pairs of a job one after the other; leave ``finished.json`` beside it, the time after each."""
    job = json.loads(path.read_text(encoding="utf-8"))
    finished = []
    for pair in job["pairs"]:
        folder = path.parent / pair["name"]
        folder.mkdir()
        PEERS[job["method"]].register(Images(pair["fixed"], pair["moving"], folder, job["threads"]))
        finished.append(time.time())
        shutil.rmtree(folder)
    (path.parent / "finished.json").write_text(json.dumps(finished), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

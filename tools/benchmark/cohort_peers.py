"""A classical tool on its share of a list, in one process: ``python -m tools.benchmark.cohort_peers job.json``."""

import json
import shutil
import sys
from pathlib import Path

from tools.benchmark.peers import PEERS, Images


def main(path: Path) -> None:
    """Register the pairs of a job one after the other; their fields are read, as ours are, and not kept."""
    job = json.loads(path.read_text(encoding="utf-8"))
    for pair in job["pairs"]:
        folder = path.parent / pair["name"]
        folder.mkdir()
        PEERS[job["method"]].register(Images(pair["fixed"], pair["moving"], folder, job["threads"]))
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

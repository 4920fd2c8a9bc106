"""How much disk the pairs that are left will take, from headers and from what the finished ones took."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from common.errors import InputError
from common.images import read_header
from common.registration.outputs import result_folder
from tools.cohort.state import Cohort, Pair

#: Bytes of a result for each voxel of the fixed image. Measured at 1 mm: 10.4 for stripped brains, 16.6 for a head;
#: transform.h5 takes 3 more, and what there is of noise packs worse.
BYTES_A_VOXEL = 20.0
#: How many pairs are looked at: headers on a network's disk are slow, and cohorts are much of a size.
SAMPLE = 40


def check_disk(cohort: Cohort, waiting: Sequence[Pair]) -> str:
    """Estimate what the pairs that wait will take, and refuse to begin what cannot end.

    Returns:
        One line for the console.

    Raises:
        InputError: there is less room than the estimate.
    """
    needed = estimate(cohort, waiting)
    free = shutil.disk_usage(next(p for p in (cohort.folder, *cohort.folder.parents) if p.exists())).free
    if needed > free:
        raise InputError(
            f"{cohort.folder}: expected {needed / 1e9:.1f} GB of free disk for {len(waiting)} pairs, got "
            f"{free / 1e9:.1f} GB; --check_disk false begins all the same"
        )
    return f"about {needed / 1e9:.1f} GB to write, {free / 1e9:.0f} GB free"


def estimate(cohort: Cohort, waiting: Sequence[Pair]) -> float:
    """Bytes that the results of some pairs will take; those of unreadable images count nothing."""
    if not waiting:
        return 0.0
    sizes = [size for pair in spread(waiting, SAMPLE) if (size := _voxels(pair))]
    rate = _measured(cohort) or BYTES_A_VOXEL
    return rate * len(waiting) * sum(sizes) / max(len(sizes), 1)


def spread(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """At most ``count`` of them, evenly from the whole list."""
    step = max(1, -(-len(pairs) // count))
    return list(pairs[::step])


def _measured(cohort: Cohort) -> float:
    """Bytes a voxel of finished results; 0 where there are none."""
    finished = [pair for pair in spread(cohort.pairs, SAMPLE) if cohort.metrics(pair) is not None]
    voxels = sum(_voxels(pair) for pair in finished)
    return sum(_bytes(result_folder(cohort.folder, pair)) for pair in finished) / voxels if voxels else 0.0


def _voxels(pair: Pair) -> int:
    try:
        x, y, z = read_header(pair["fixed"], "fixed").grid.shape
    except InputError:
        return 0
    return x * y * z


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())

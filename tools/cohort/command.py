"""``python -m tools cohort``: register every pair of a datalist, in several processes, and go on after a kill."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.bundle import Bundle
from common.errors import InputError
from common.registration.pairs import listed_pairs
from common.sample import sample_pair
from common.writing import check_writable
from tools.cohort.disk import check_disk as room_for
from tools.cohort.index import INDEX, write_index
from tools.cohort.processes import run
from tools.cohort.state import FAILED, Cohort, Pair, shard
from tools.cohort.table import NO_RESULT, TABLE, rows, write_table
from tools.cohort.worker import THUMBNAILS, Work, lacks_pictures

_OWN = (FAILED, TABLE, INDEX, THUMBNAILS)


def cohort(
    datalist: Path,
    output_dir: Path,
    bundle: str = "mambamorph",
    section: str | None = None,
    workers: int = 1,
    check_disk: bool = True,
    overwrite: bool = False,
    **options: Any,
) -> None:
    """Register every pair of a datalist; the same command again goes on where it was stopped.

    A finished pair is never done again, a pair that fails is noted and skipped, and the exit code is 1 if one did.
    ``cohort.csv`` is the table of all pairs, ``index.html`` the page to look through them, the worst first. Under
    torchrun or with RANK and WORLD_SIZE set, every process takes its share of the pairs.

    Args:
        datalist: JSON of pairs with fixed and moving, see docs/cohort.md.
        output_dir: where to; a subfolder a pair.
        bundle: name or folder of the bundle.
        section: the datalist's section; the first one with pairs without it.
        workers: processes on this machine, which share its cores.
        check_disk: estimate the disk that is needed and refuse to begin where it is not there.
        overwrite: register all of it again.
        options: keys of inference.json, such as --report true, --refine fast; --overlap, which reads the next pair and
            writes the last one beside the present one, is true here where a process has a GPU or more than one core.

    Raises:
        InputError: something that is given cannot be used, or pairs failed.
    """
    folder, pairs = check_writable(output_dir), _named(listed_pairs(datalist, section))
    rank, world = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
    mine = Cohort(folder, shard(pairs, rank, world))
    register_all(mine, bundle, workers, check_disk, overwrite, options)
    refuse_failures(mine, write_overview(Cohort(folder, pairs)))


def register_all(
    mine: Cohort, bundle: str, workers: int, check_disk: bool, overwrite: bool, options: dict[str, Any]
) -> None:
    """Register the pairs of a cohort that are not finished; those that fail are noted.

    Raises:
        InputError: nothing can be registered, see ``cohort``.
    """
    threads = max(1, (os.cpu_count() or 1) // (workers * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    device = _device(options)
    # Where every core has a process already, a second one beside it only waits (docs/scale.md).
    options = {"overlap": threads > 1 or bool(device)} | options | device
    mine = replace(mine, settings=Bundle(bundle).check(sample_pair(), mine.folder, **options))
    if overwrite:
        for pair in mine.pairs:
            (mine.folder / pair["name"] / "metrics.json").unlink(missing_ok=True)
    done = mine.finished_names()
    mine.forgive(mine.pairs)
    waiting = [pair for pair in mine.pairs if pair["name"] not in done]
    print(f"{len(mine.pairs)} pairs, {len(done)} finished before", flush=True)
    if check_disk and waiting:
        print(room_for(mine, waiting), flush=True)
    todo = [pair for pair in mine.pairs if pair["name"] not in done or lacks_pictures(mine, pair, options)]
    run([Work(mine.of(shard(todo, n, workers)), bundle, options, threads) for n in range(workers)])


def _named(pairs: list[dict[str, str]]) -> list[dict[str, str]]:
    for pair in pairs:
        if pair["name"] in _OWN:
            raise InputError(f"pair {pair['name']!r}: expected another name, this one is a file of the cohort's own")
    return pairs


def _device(options: dict[str, Any]) -> dict[str, str]:
    """The GPU of this process, where there are some and the user has not said."""
    import torch

    count = torch.cuda.device_count()
    if "device" in options or not count:
        return {}
    return {"device": f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % count}"}


def write_overview(everything: Cohort) -> list[dict[str, Any]]:
    """Write what a person looks at, the table and the page of all pairs; returns the rows of the table."""
    table = rows(everything)
    write_table(table, everything.folder)
    write_index(table, everything.folder)
    print(f"written: {everything.folder / TABLE}, {everything.folder / INDEX}", flush=True)
    return table


def refuse_failures(mine: Cohort, table: Sequence[Mapping[str, Any]]) -> None:
    """Raise what failed.

    Args:
        mine: the pairs that this process answers for.
        table: rows of all pairs, as ``write_overview`` returns them.

    Raises:
        InputError: pairs have no result; how many, which, and why the first one has none.
    """
    without = {row["pair"] for row in table if row["grade"] in NO_RESULT}
    failed: list[Pair] = [pair for pair in mine.pairs if pair["name"] in without]
    if failed:
        names = ", ".join(pair["name"] for pair in failed[:5]) + (", ..." if len(failed) > 5 else "")
        first = mine.failure(failed[0]) or "it was not reached"
        raise InputError(
            f"{len(failed)} of {len(mine.pairs)} pairs failed ({names}), the first one since: {first}; "
            f"the same command tries these again, {mine.folder / FAILED} holds the reasons"
        )

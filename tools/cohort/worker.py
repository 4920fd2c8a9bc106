"""One process of a cohort: registers its pairs one after another, notes those that fail, and goes on."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.bundle import Bundle
from common.errors import InputError, find_input_error
from common.registration import check_pair_files
from common.report import thumbnail
from common.writing import write_atomically
from tools.cohort.state import Cohort, Pair

#: Pairs that one call of the pipeline takes: the network is built once for them.
CHUNK = 16
THUMBNAILS = "thumbnails"


@dataclass(frozen=True)
class Work:
    """What a process needs to know; it is sent to it.

    Attributes:
        cohort: folder and pairs, those of this process only.
        bundle: as ``Bundle`` takes it.
        options: keys of ``inference.json``.
        threads: of the processor.
    """

    cohort: Cohort
    bundle: str
    options: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1


def work(job: Work) -> None:
    """Register every pair of a job that is not settled yet.

    Raises:
        InputError: nothing can be registered at all: an option that is not known, a folder that cannot be written.
    """
    import torch

    os.environ["OMP_NUM_THREADS"] = str(job.threads)
    torch.set_num_threads(job.threads)
    bundle, cohort = Bundle(job.bundle), job.cohort
    waiting = [pair for pair in cohort.pairs if not cohort.settled(pair)]
    while waiting:
        chunk, waiting = waiting[:CHUNK], waiting[CHUNK:]
        chunk = [pair for pair in chunk if _readable(cohort, pair)]
        if chunk:
            waiting = [*_register(bundle, cohort, chunk, job.options), *waiting]


def _readable(cohort: Cohort, pair: Pair) -> bool:
    """Whether the headers of a pair can be used; noted where not."""
    try:
        check_pair_files(pair, require_overlap=False)
    except InputError as error:
        cohort.fail(pair, str(error))
        return False
    return True


def _register(bundle: Bundle, cohort: Cohort, chunk: Sequence[Pair], options: Mapping[str, Any]) -> list[Pair]:
    """Register a chunk; where it ends early, the first pair without a result is tried alone, which gives its reason.

    Returns:
        The pairs behind that one.
    """
    try:
        bundle.register(chunk, cohort.folder, **options)
    except Exception as error:  # whatever a pair does to the pipeline: the others have nothing to do with it
        left = [pair for pair in chunk if cohort.metrics(pair) is None]
        if not left:
            raise
        if len(chunk) > 1:
            _register(bundle, cohort, left[:1], options)
        else:
            cause = find_input_error(error)
            cohort.fail(left[0], str(cause) if cause else f"{type(error).__name__}: {error}")
        _draw(cohort, chunk)
        return left[1:]
    _draw(cohort, chunk)
    return []


def _draw(cohort: Cohort, pairs: Sequence[Pair]) -> None:
    """Thumbnails of the finished pairs that have none."""
    for pair in pairs:
        metrics = cohort.metrics(pair)
        if metrics is not None:
            draw_thumbnail(cohort.folder, pair)


def draw_thumbnail(folder: Path, pair: Pair) -> None:
    """Write the small picture that the index page shows."""
    content = thumbnail(folder / pair["name"], pair["fixed"])
    write_atomically(folder / THUMBNAILS / f"{pair['name']}.jpg", lambda path: path.write_bytes(content))

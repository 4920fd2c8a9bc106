"""One process of a cohort: registers its pairs one after another, notes those that fail, and goes on."""

import logging
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.bundle import Bundle
from common.errors import InputError, find_input_error
from common.registration import check_pair_files
from common.report import PAGE as REPORT
from common.report import thumbnail, write_report
from common.switches import switch
from common.writing import write_atomically
from tools.cohort.state import Cohort, Pair

logger = logging.getLogger(__name__)

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
    """Register every pair of a job that is not settled yet; draw the pictures that a kill left out.

    Raises:
        InputError: nothing can be registered at all: an option that is not known, a folder that cannot be written.
    """
    import torch

    os.environ["OMP_NUM_THREADS"] = str(job.threads)
    torch.set_num_threads(job.threads)
    bundle, cohort = Bundle(job.bundle), job.cohort
    settled, waiting = list[Pair](), deque[Pair]()
    for pair in cohort.pairs:
        (settled if cohort.settled(pair) else waiting).append(pair)
    _draw(cohort, settled, job.options)
    while waiting:
        chunk = [waiting.popleft() for _ in range(min(CHUNK, len(waiting)))]
        chunk = [pair for pair in chunk if _readable(cohort, pair)]
        if chunk:
            waiting.extendleft(reversed(_register(bundle, cohort, chunk, job.options)))


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
    error: Exception | None = None
    try:
        bundle.register(chunk, cohort.folder, **options)
    except Exception as raised:  # whatever a pair does to the pipeline: the others have nothing to do with it
        error = raised
    # What follows is not done while the error is handled: it would stand in the chain of causes of every later one.
    left = [pair for pair in chunk if cohort.metrics(pair) is None]
    if error is not None and not left:
        raise error
    if error is not None and len(chunk) > 1:
        _register(bundle, cohort, left[:1], options)
    elif error is not None:
        cause = find_input_error(error)
        cohort.fail(left[0], str(cause) if cause else f"{type(error).__name__}: {error}")
    _draw(cohort, chunk, options)
    return left[1:] if error is not None else []


def lacks_pictures(cohort: Cohort, pair: Pair, options: Mapping[str, Any]) -> bool:
    """Whether a finished pair has no thumbnail of its own result, or no report where one is wanted."""
    return _lacks(cohort, pair, _thumbnail_file(cohort, pair)) or _lacks_report(cohort, pair, options)


def _lacks(cohort: Cohort, pair: Pair, picture: Path) -> bool:
    """Whether a file that follows ``metrics.json`` is missing, or of an earlier result."""
    try:
        return picture.stat().st_mtime_ns < (cohort.folder / pair["name"] / "metrics.json").stat().st_mtime_ns
    except OSError:
        return not picture.is_file()


def _lacks_report(cohort: Cohort, pair: Pair, options: Mapping[str, Any]) -> bool:
    wanted = switch(options.get("report", False), "report")
    return wanted and not (cohort.folder / pair["name"] / REPORT).is_file()


def _draw(cohort: Cohort, pairs: Sequence[Pair], options: Mapping[str, Any]) -> None:
    """Draw what finished pairs lack; a picture that cannot be drawn is said, and costs no pair."""
    for pair in pairs:
        if cohort.metrics(pair) is None:
            continue
        try:
            if _lacks(cohort, pair, _thumbnail_file(cohort, pair)):
                draw_thumbnail(cohort, pair)
            if _lacks_report(cohort, pair, options):
                write_report(cohort.folder / pair["name"])
        except InputError as error:
            logger.warning("%s has no picture: %s", pair["name"], error)


def draw_thumbnail(cohort: Cohort, pair: Pair) -> None:
    """Write the small picture that the index page shows."""
    content = thumbnail(cohort.folder / pair["name"], pair["fixed"])
    write_atomically(_thumbnail_file(cohort, pair), lambda path: path.write_bytes(content))


def _thumbnail_file(cohort: Cohort, pair: Pair) -> Path:
    return cohort.folder / THUMBNAILS / f"{pair['name']}.jpg"

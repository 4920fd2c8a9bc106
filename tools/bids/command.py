"""``python -m tools bids``: a BIDS App around the bundles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.bundle import Bundle
from common.errors import InputError
from common.writing import check_writable
from tools.bids.dataset import OTHERS, REFERENCE, Task, find_images, tasks
from tools.bids.derivatives import WORK, publish, write_description
from tools.bids.filters import filtered, read_filters
from tools.cohort.command import refuse_failures, register_all, write_overview
from tools.cohort.state import Cohort

LEVELS = ("participant", "group")


def bids(
    bids_dir: Path,
    out_dir: Path,
    analysis_level: str,
    participant_label: Sequence[str] = (),
    session_label: Sequence[str] = (),
    bids_filter_file: Path | None = None,
    skip_bids_validation: bool = False,
    template: Path | None = None,
    space: str | None = None,
    bundle: str = "mambamorph",
    workers: int = 1,
    skull_stripped: bool = False,
    **options: Any,
) -> None:
    """Register a BIDS data set: T1w images to a template, or T2w, FLAIR and others to the T1w of their session.

    With a template, the images of a session without a T1w go to it themselves.

    ``participant`` registers and writes derivatives with BIDS names; ``group`` writes the table and the page of all.
    Goes on where it was stopped, as tools cohort does.

    Args:
        bids_dir: the raw data set.
        out_dir: the derivatives; the cohort's own files lie in its folder work.
        analysis_level: participant or group.
        participant_label: labels, with or without sub-; all participants without it.
        session_label: labels, with or without ses-; all sessions without it.
        bids_filter_file: JSON of entities by kind of image, as fMRIPrep takes it, such as {"t1w": {"run": "01"}}.
        skip_bids_validation: taken since BIDS Apps have it; the data set is not validated either way.
        template: an image; the others go to their session's T1w without it.
        space: what the template's space is called; from its name without it.
        bundle: name or folder of the bundle.
        workers: processes.
        skull_stripped: what the sidecars say of the images; nothing is stripped by it.
        options: keys of inference.json.

    Raises:
        InputError: no data set, nothing to register, or images that cannot be.
    """
    if analysis_level not in LEVELS:
        raise InputError(f"analysis_level: expected {' or '.join(LEVELS)}, got {analysis_level!r}")
    raw, folder = bids_dir.expanduser().absolute(), check_writable(out_dir)
    fixed = template.expanduser().absolute() if template else None
    images = find_images(raw, (REFERENCE, *OTHERS), participant_label, session_label)
    chosen = tasks(filtered(images, read_filters(bids_filter_file) if bids_filter_file else {}), fixed, space)
    cohort = _cohort(folder, chosen)
    if analysis_level == "participant":
        opened = Bundle(bundle)
        write_description(folder, raw, fixed, opened.name, opened.version)
        register_all(cohort, bundle, workers, True, False, {"outputs": ["transform", "inverse"], **options})
        _publish(cohort, chosen, folder, skull_stripped)
    refuse_failures(cohort, write_overview(cohort))


def _cohort(out_dir: Path, chosen: Sequence[Task]) -> Cohort:
    pairs = [{"fixed": str(task.fixed), "moving": str(task.moving.path), "name": task.name} for task in chosen]
    return Cohort(out_dir / WORK, pairs)


def _publish(cohort: Cohort, chosen: Sequence[Task], out_dir: Path, stripped: bool) -> None:
    for task, pair in zip(chosen, cohort.pairs, strict=True):
        metrics = cohort.metrics(pair)
        if metrics is not None:
            publish(task, cohort.folder / pair["name"], metrics, out_dir, stripped)
    print(f"written: {out_dir}", flush=True)

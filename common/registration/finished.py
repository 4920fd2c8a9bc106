"""Which pairs of a list are finished: read from their results, the one place that resuming and cohorts ask."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.registration.keys import KEYPOINT_KEYS, PATH_KEYS
from common.registration.outputs import result_folder

logger = logging.getLogger(__name__)

#: The files that make a result what it is.
INPUTS = tuple(key for key in PATH_KEYS if key not in KEYPOINT_KEYS)
#: How many pairs a word names.
NAMED = 5


def finished(
    pair: Mapping[str, str], output_dir: Path, settings: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """The finished result of a pair: what its ``metrics.json`` holds, which comes last and says that all is whole.

    Args:
        pair: paths of its files, as ``registration_pairs`` gives them.
        output_dir: of the run, absolute.
        settings: what would make it now, see ``common.bundle.run_settings``; only the files are compared without it.

    Returns:
        None where there is no result of these very files and settings.
    """
    try:
        found = json.loads((result_folder(output_dir, pair) / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or any(found.get(key) != pair.get(key) for key in INPUTS):
        return None
    return None if settings is not None and changes(found, settings) else found


def changes(metrics: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """What differs between the settings that made a result and those of now, in words; empty where nothing does.

    >>> changes({"settings": {"passes": [2, 1], "refine": "auto"}}, {"passes": [1], "refine": "auto"})
    ['passes was [2, 1], is [1]']
    """
    before = metrics.get("settings") or {}
    names = [key for key in {**before, **settings} if before.get(key) != settings.get(key)]
    return [f"{key} was {before.get(key)}, is {settings.get(key)}" for key in names]


def unfinished(
    pairs: Sequence[dict[str, str]], output_dir: str | Path, settings: Mapping[str, Any] | None = None
) -> list[dict[str, str]]:
    """The pairs that are left to do; says how many are not, and which ones are done again since something changed.

    Args:
        pairs: paths and ``name``.
        output_dir: of the run.
        settings: see ``finished``.
    """
    folder = Path(output_dir).expanduser().absolute()
    left = [pair for pair in pairs if finished(pair, folder, settings) is None]
    for pair in left[:NAMED]:
        if settings is not None and (found := finished(pair, folder)) is not None:
            logger.warning("%s is done again: %s", pair.get("name", "the pair"), "; ".join(changes(found, settings)))
    if not left:
        logger.warning("all %d pairs have results of these images and options already: all is done", len(pairs))
    elif len(left) < len(pairs):
        logger.warning(
            "%d of %d pairs have results already and are left as they are", len(pairs) - len(left), len(pairs)
        )
    return left

"""Which files a pair's results are, and what would be wrong with them, known before the first pair starts."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import InputError, nearest
from common.registration.keys import PATH_KEYS
from common.switches import expanded
from common.writing import LONGEST_NAME

#: Further files of a pair by the name that asks for them.
OUTPUTS = {
    "transform": "transform.h5",
    "inverse": "inverse.h5",
    "inverse_warp": "inverse_warp.nii.gz",
    "disp": "disp.nii.gz",
    "inverse_disp": "inverse_disp.nii.gz",
}
#: Written where there was an alignment.
AFFINE_FILE = "affine.mat"
#: Moving points that were brought along keep their format.
MOVED_POINTS = "moved_points"
#: Every file that one pair can have; the last one says that the others are complete.
RESULT_FILES = (
    *("moved.nii.gz", "warp.nii.gz", "jacobian.nii.gz", "moved_label.nii.gz"),
    *(f"{MOVED_POINTS}.csv", f"{MOVED_POINTS}.mrk.json"),
    *("fixed_brain_mask.nii.gz", "moving_brain_mask.nii.gz"),
    *(*OUTPUTS.values(), AFFINE_FILE, "report.html", "report.png", "metrics.json"),
)


def outputs_of(names: str | Sequence[str]) -> tuple[str, ...]:
    """Read which further files are wanted.

    Args:
        names: of ``OUTPUTS``, or ``all`` or ``none``; a list, or text with commas.

    Raises:
        InputError: a name that is none of these.

    >>> outputs_of("transform, inverse"), outputs_of("none"), len(outputs_of("all"))
    (('transform', 'inverse'), (), 5)
    """
    words = [word.strip() for word in (names.strip("[]() ").split(",") if isinstance(names, str) else map(str, names))]
    words = [word.strip("'\"") for word in words if word and word != "none"]
    for word in words:
        if word not in (*OUTPUTS, "all"):
            known = [*OUTPUTS, "all", "none"]
            raise InputError(f"outputs: expected some of {', '.join(known)}, got {word!r}{nearest(word, known, '')}")
    return tuple(name for name in OUTPUTS if name in words or "all" in words)


def result_folder(output_dir: Path, pair: Mapping[Any, Any]) -> Path:
    """Where one pair's files go: ``output_dir`` itself, or the subfolder of the pair's ``name``."""
    return output_dir / str(pair["name"]) if pair.get("name") else output_dir


def check_outputs(pairs: Sequence[Mapping[str, str]], output_dir: str | Path) -> None:
    """Check that every pair's results can have their names.

    Args:
        pairs: paths of the inputs, and ``name``.
        output_dir: where to.

    Raises:
        InputError: a name is longer than a file system takes, or a result would replace a file that is to be read.
    """
    folder = expanded(output_dir).absolute()
    inputs = {
        identity: f"{key} {pair[key]}"
        for pair in pairs
        for key in PATH_KEYS
        if isinstance(pair.get(key), str | Path) and (identity := _identity(Path(pair[key]))) is not None
    }
    for pair in pairs:
        if len(os.fsencode(str(pair.get("name", "")))) > LONGEST_NAME:
            raise InputError(
                f"pair {pair['name']!r}: expected a name of at most {LONGEST_NAME} bytes, that of the folder of its "
                f"results, got {len(os.fsencode(pair['name']))}"
            )
        for name in RESULT_FILES:
            target = result_folder(folder, pair) / name
            if (identity := _identity(target)) in inputs:
                raise InputError(
                    f"the result {target} would replace an input ({inputs[identity]}): choose another folder"
                )


def _identity(path: Path) -> tuple[int, int] | None:
    """What two names of one file share, links included; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

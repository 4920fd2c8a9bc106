"""What is to be applied to which file, and where the result goes: all of it checked before anything is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import InputError
from common.geometry.pulling import EXACT, INTERPOLATIONS
from common.registration.point_files import is_point_file
from common.registration.segmentations import SUFFIX

#: Formats that images are written in.
NIFTI, ITK = (".nii", ".nii.gz"), (".nrrd", ".mha")


@dataclass(frozen=True)
class Job:
    """One file to move: where from, where to, and how its voxels are read."""

    source: str
    target: Path
    interpolation: str


def plan(
    inputs: Sequence[str], outputs: Sequence[str], interpolations: Sequence[str], others: Sequence[str] = ()
) -> list[Job]:
    """Give every input its output and its interpolation, before anything is read.

    Args:
        inputs: files.
        outputs: as many files; or one folder, where the inputs keep their names.
        interpolations: one for all, or one for each input. Segmentations take ``label``, or
            ``nearest`` where that is asked for.
        others: further files that are read, which no output may replace.

    Raises:
        InputError: numbers that do not fit, a suffix that cannot hold its input, or an output that would replace a file
            that is read or another output.
    """
    targets = _targets(inputs, outputs)
    if unknown := [kind for kind in interpolations if kind not in INTERPOLATIONS]:
        raise InputError(f"interpolation: expected one of {', '.join(INTERPOLATIONS)}, got {unknown[0]!r}")
    if len(interpolations) not in (1, len(inputs)):
        raise InputError(f"expected one interpolation or {len(inputs)}, one an input, got {len(interpolations)}")
    kinds = list(interpolations) * (len(inputs) if len(interpolations) == 1 else 1)
    taken = {Path(path).resolve() for path in (*inputs, *others)}
    jobs = []
    for source, target, kind in zip(inputs, targets, kinds, strict=True):
        _check_suffix(source, target)
        if target.resolve() in taken:
            raise InputError(f"output {target}: it would replace an input or another output: choose another name")
        taken.add(target.resolve())
        segments = source.lower().endswith(SUFFIX)
        jobs.append(Job(source, target, "label" if segments and kind not in EXACT else kind))
    return jobs


def _targets(inputs: Sequence[str], outputs: Sequence[str]) -> list[Path]:
    if len(outputs) == 1 and (len(inputs) > 1 or Path(outputs[0]).is_dir() or outputs[0].endswith("/")):
        return [Path(outputs[0]) / _kept_name(source) for source in inputs]
    if len(outputs) != len(inputs):
        raise InputError(f"expected {len(inputs)} outputs, one an input, or one folder, got {len(outputs)}")
    return [Path(path) for path in outputs]


def _kept_name(source: str) -> str:
    """The input's name, as NIfTI where its own format is not written here."""
    name = Path(source).name
    if name.lower().endswith((*NIFTI, *ITK)) or is_point_file(source):
        return name
    return f"{Path(source).stem}.nii.gz"


def _check_suffix(source: str, target: Path) -> None:
    name, series = target.name.lower(), source.lower()
    if is_point_file(source):
        allowed: tuple[str, ...] = (".csv",) if series.endswith(".csv") else (".mrk.json",)
    else:
        allowed = (SUFFIX,) if series.endswith(SUFFIX) else (*NIFTI, *ITK)
    if not name.endswith(allowed) or (name.endswith(SUFFIX) and SUFFIX not in allowed):
        raise InputError(f"output {target}: expected a name that ends with {', '.join(allowed)} for {source}")

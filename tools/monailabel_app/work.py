"""What the worker process does for a request: paths in, one file and figures out. Nothing here knows of MONAI Label."""

import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.bundle import Bundle, Registered
from common.errors import InputError
from common.geometry import Grid, shear_of
from common.images import read_header, read_volume, save_volume
from common.images.headers import ITK_SHEAR
from common.registration.simple_itk import to_image
from common.writing import write_atomically
from tools.monailabel_app.fusion import fuse
from tools.monailabel_app.relabel import relabel

#: What a registration of two images can answer with, and the file of it; the first is the default.
RESULTS = {
    "moved image": "moved.nii.gz",
    "moved labels": "moved_label.nii.gz",
    "field": "warp.nii.gz",
    "transform": "transform.h5",
    "all": "registration.zip",
}


def segment(
    study: str, atlases: Sequence[Mapping[str, Any]], folder: str, bundle: str, overrides: Mapping[str, Any],
    fusion: str, suffix: str, keep_doubtful: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Bring the labels of atlases onto a study.

    Args:
        study: the fixed image.
        atlases: ``name``, ``image``, ``labels`` (paths) and ``names`` (by label value) each.
        folder: for the result and what is made on the way.
        bundle: the network's name.
        overrides: keys of ``inference.json``.
        fusion: see ``fusion.fuse``.
        suffix: ``.nrrd`` or ``.nii.gz``, the kind of the result.
        keep_doubtful: also use atlases that have nothing in common with the study.

    Returns:
        ``file`` with labels 1..N on the study's own grid, ``label_names`` in order, ``atlases`` with the similarity
        that each reached, ``warnings``.

    Raises:
        InputError: an image cannot be used, or no atlas fits.
    """
    moved, figures, warnings = [], {}, []
    for number, atlas in enumerate(atlases):
        pair = {"fixed": study, "moving": atlas["image"], "moving_label": atlas["labels"]}
        output = Path(folder) / f"atlas-{number}"
        (result,) = Bundle(bundle).register(pair, output, outputs="none", **overrides)
        warnings += [f"{atlas['name']}: {warning}" for warning in warnings_of(result)]
        if keep_doubtful or not is_doubtful(result):
            moved.append(np.asarray(read_volume(output / "moved_label.nii.gz", "moved_label").voxels).astype(np.int32))
            figures[atlas["name"]] = _figures(result)
        shutil.rmtree(output)
    if not moved:
        raise InputError(f"expected an atlas that fits this image, got none ({'; '.join(warnings)}); see keep_doubtful")
    fused = fuse(moved, fusion, [figure["mutual_information"] for figure in figures.values()])
    names = {int(value): name for atlas in reversed(atlases) for value, name in atlas["names"].items()}
    labels, label_names = relabel(fused, names)
    file = save_labels(labels, read_header(study, "study").grid, Path(folder) / f"labels{suffix}")
    return {"file": str(file), "label_names": label_names, "atlases": figures, "warnings": warnings}


def register_images(
    fixed: str, moving: str, folder: str, bundle: str, overrides: Mapping[str, Any], result: str, label: str = ""
) -> dict[str, Any]:
    """Register two images.

    Args:
        fixed: the study that the result lies on.
        moving: the other one.
        folder: for the result and what is made on the way.
        bundle: the network's name.
        overrides: keys of ``inference.json``.
        result: one of ``RESULTS``.
        label: the moving image's label map, if it has one.

    Returns:
        ``file``, ``metrics`` (the similarity before and after) and ``warnings``.

    Raises:
        InputError: an image cannot be used.
    """
    pair = {"fixed": fixed, "moving": moving} | ({"moving_label": label} if label else {})
    outputs = {"transform": "transform", "all": "all"}.get(result, "none")
    (registered,) = Bundle(bundle).register(pair, Path(folder) / "pair", outputs=outputs, **overrides)
    output = registered.folder
    file = _zipped(output, Path(folder)) if result == "all" else output / RESULTS[result]
    return {"file": str(file), "metrics": registered.metrics["similarity"], "warnings": warnings_of(registered)}


def is_doubtful(result: Registered) -> bool:
    """Whether both images have nothing in common, so that any labels would be a guess."""
    rejected = result.metrics.get("fallback", {}).get("rejected", [])
    return any(flag["flag"] == "unrelated" for one in rejected for flag in one["flags"])


def warnings_of(result: Registered) -> list[str]:
    """What the pipeline found wrong with a result, in sentences; see ``docs/quality.md``."""
    metrics = result.metrics
    warnings = [f"{flag['word']}; {flag['what_to_do']}" for flag in metrics.get("quality", [])]
    if found := metrics.get("fallback"):
        warnings.insert(0, f"the result is {found['to']}, since {'; '.join(found['because'])}")
    return warnings


def save_labels(labels: NDArray, grid: Grid, path: Path) -> Path:
    """Write a label map on exactly this grid; NRRD keeps its numbers in double precision.

    Slanted axes, which ITK refuses, are written as NIfTI whatever the suffix says; the path written comes back.
    """
    if path.name.endswith(".nrrd") and shear_of(grid.affine) <= ITK_SHEAR:
        image = to_image(labels, grid)
        write_atomically(path, lambda partial: _write(image, partial))
        return path
    target = path.with_name(path.name.partition(".")[0] + ".nii.gz")
    write_atomically(target, lambda partial: save_volume(labels, grid.affine, partial, labels.dtype))
    return target


def _write(image: Any, path: Path) -> None:
    import SimpleITK

    SimpleITK.WriteImage(image, str(path), useCompression=True)


def _figures(result: Registered) -> dict[str, float]:
    after = result.metrics["similarity"]["after"]
    return {name: round(float(value), 4) for name, value in after.items()}


def _zipped(output: Path, folder: Path) -> Path:
    target = folder / RESULTS["all"]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(output.iterdir()):
            archive.write(file, file.name)
    return target


#: What can be asked of the worker process, by name.
WORK: dict[str, Callable[..., dict[str, Any]]] = {"segment": segment, "register": register_images}

"""Results under the names that BIDS gives derivatives, with sidecars that say where they come from."""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from common import __version__
from common.writing import save_json, write_atomically
from tools.bids.dataset import Task

BIDS_VERSION = "1.10.0"
#: The cohort's own folder, and what the validator is told to pass over: it, pages, and transforms, which BIDS's
#: schema does not hold yet (BEP 14).
WORK = "work"
IGNORED = (WORK, "*.html", "*_xfm.*")


def write_description(out_dir: Path, bids_dir: Path, template: Path | None, bundle: str, version: str) -> None:
    """Write ``dataset_description.json`` and ``.bidsignore``."""
    links = {"raw": os.path.relpath(bids_dir, out_dir)}
    if template is not None:
        links["template"] = os.path.relpath(template.parent, out_dir)
    description = {
        "Name": f"Registrations with {bundle}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {"Name": "registration-bundles", "Version": __version__, "Description": f"{bundle} {version}"},
        ],
        "SourceDatasets": [{"URL": links["raw"]}],
        "DatasetLinks": links,
    }
    save_json(description, out_dir / "dataset_description.json")
    write_atomically(out_dir / ".bidsignore", lambda path: path.write_text("\n".join(IGNORED) + "\n"))
    readme = f"Registrations of a BIDS data set with {bundle} {version}, registration-bundles {__version__}.\n"
    write_atomically(out_dir / "README.md", lambda path: path.write_text(readme, encoding="utf-8"))


def publish(task: Task, result: Path, metrics: Mapping[str, Any], out_dir: Path, stripped: bool) -> list[Path]:
    """Give the files of a finished pair their BIDS names; hard links where the disk has them.

    Returns:
        The image, and the transform in both directions.
    """
    folder, source = out_dir / task.moving.folder, task.moving.suffix
    name = task.moving.entities
    image = f"{name}_space-{task.space}_{source}"
    forward, back = (f"{name}_from-{a}_to-{b}_mode-image_xfm" for a, b in ((source, task.space), (task.space, source)))
    files = {f"{image}.nii.gz": "moved.nii.gz", f"{forward}.h5": "transform.h5", f"{back}.h5": "inverse.h5"}
    folder.mkdir(parents=True, exist_ok=True)
    for target, original in files.items():
        _link(result / original, folder / target)
    save_json(_image_sidecar(task, stripped), folder / f"{image}.json")
    for sidecar in (forward, back):
        save_json(_transform_sidecar(task, metrics), folder / f"{sidecar}.json")
    return [folder / target for target in files]


def _link(original: Path, target: Path) -> None:
    """The same file under another name; a copy where there are no hard links."""

    def write(partial: Path) -> None:
        partial.unlink()
        with suppress(OSError):
            os.link(original, partial)
            return
        shutil.copyfile(original, partial)

    write_atomically(target, write)


def _image_sidecar(task: Task, stripped: bool) -> dict[str, Any]:
    return {
        "Description": f"{task.moving.suffix} image on the grid of {task.fixed.name}",
        "Sources": [task.moving.uri, task.fixed_uri],
        "SpatialReference": task.fixed_uri,
        "SkullStripped": stripped,
    }


def _transform_sidecar(task: Task, metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Sources": [task.moving.uri, task.fixed_uri],
        "SpatialReference": task.fixed_uri,
        "Network": metrics.get("network"),
        "Weights": (metrics.get("weights") or {}).get("sha256"),
        "Versions": metrics.get("versions"),
        "Command": metrics.get("command"),
        "Similarity": metrics.get("similarity"),
        "Quality": metrics.get("quality"),
    }

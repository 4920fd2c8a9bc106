"""Atlases: a folder each, with an image, labels on its grid and the names of their values."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.bundle.folder import read_json
from common.errors import InputError
from common.images import Volume, read_header, read_volume, save_volume
from common.sample import FOLDER as SAMPLE
from common.sample import TISSUES
from common.writing import json_text, write_together
from tools.monailabel_app.names import checked_name

FILES = ("image.nii.gz", "labels.nii.gz", "atlas.json")
#: The sample's atlas, which is always there.
SAMPLE_NAME = "mni152-tissues"
#: Millimetres by which the two files' grids may differ.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Atlas:
    """An image and its labels; ``names`` by label value, ``source`` says where it comes from."""

    name: str
    image: Path
    labels: Path
    names: Mapping[int, str]
    source: str = ""

    def plain(self) -> dict[str, Any]:
        """The same for another process."""
        return {"name": self.name, "image": str(self.image), "labels": str(self.labels), "names": dict(self.names)}


def sample_atlas() -> Atlas:
    """The ICBM 152 template of the sample pair with its tissues."""
    files = (SAMPLE / "fixed_t1.nii.gz", SAMPLE / "fixed_tissue.nii.gz")
    return Atlas(SAMPLE_NAME, *files, TISSUES, "ICBM 152 2009a, see common/sample/README.md")


def find_atlases(folder: str | Path | None = None) -> dict[str, Atlas]:
    """Every atlas by its name: those of a folder, then the sample's.

    Raises:
        InputError: no such folder, or something in it that is no whole atlas.
    """
    found: dict[str, Atlas] = {}
    if folder:
        root = Path(folder).expanduser()
        if not root.is_dir():
            raise InputError(f"atlas folder {folder}: expected a folder of atlases, got none; see tools atlas add")
        for described in sorted(root.glob("*/atlas.json")):
            found[described.parent.name] = read_atlas(described.parent)
        if not found:
            raise InputError(f"atlas folder {folder}: expected folders with {', '.join(FILES)}, got none of them")
    sample = sample_atlas()
    return found | {sample.name: sample}


def read_atlas(folder: Path) -> Atlas:
    """Read the description of one atlas.

    Raises:
        InputError: a file is missing, or the description cannot be used.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise InputError(f"atlas {folder}: expected {', '.join(FILES)}, got no {missing[0]}")
    described = read_json(folder / "atlas.json")
    try:
        names = {int(value): str(name) for value, name in described["names"].items()}
    except (KeyError, AttributeError, ValueError) as error:
        raise InputError(f"atlas {folder}: expected names by label value in atlas.json, got {error!r}") from error
    return Atlas(folder.name, folder / FILES[0], folder / FILES[1], names, str(described.get("source", "")))


def add_atlas(
    folder: str | Path, name: str, image: str | Path, labels: str | Path, names: Mapping[int, str], source: str = ""
) -> Atlas:
    """Make an atlas of an image and its labels, checked.

    Args:
        folder: of atlases; made if missing. An atlas of this name there is replaced.
        name: a plain name; what Slicer's drop-down shows.
        image: any format that the bundles read.
        labels: whole numbers on the image's grid.
        names: of label values; every value in ``labels`` but 0 needs one.
        source: where it comes from and under which licence, kept with it.

    Raises:
        InputError: another grid, no whole numbers, only background, or values without a name.
    """
    root = Path(folder).expanduser()
    checked_name(name, "atlas")
    picture, values = read_volume(image, "atlas"), read_label_map(labels)
    check_same_grid(image, labels)
    present = [int(value) for value in np.unique(values.voxels) if value != 0]
    unnamed = [value for value in present if value not in names]
    if unnamed or not present:
        got = f"no name for {', '.join(map(str, unnamed[:10]))}" if unnamed else "only background"
        raise InputError(f"atlas labels {labels}: expected values that have a name, got {got}")
    described = {"names": {str(value): names[value] for value in present}, "source": source}
    writers = (
        lambda path: save_volume(picture.voxels, picture.affine, path),
        lambda path: save_volume(values.voxels, picture.affine, path, np.int32),
        lambda path: path.write_text(json_text(described), encoding="utf-8"),
    )
    write_together(root / name, dict(zip(FILES, writers, strict=True)))
    return read_atlas(root / name)


def read_label_map(path: str | Path, role: str = "label") -> Volume:
    """Read whole numbers from an image file.

    Raises:
        InputError: fractions, or numbers below 0 or above what a label map holds.
    """
    volume = read_volume(path, role)
    voxels = np.asarray(volume.voxels)
    if voxels.dtype.kind == "f" and not (np.isfinite(voxels).all() and (voxels == np.rint(voxels)).all()):
        raise InputError(f"{role} image {path}: expected whole numbers, got fractions")
    if voxels.min() < 0 or voxels.max() > np.iinfo(np.int32).max:
        raise InputError(f"{role} image {path}: expected labels from 0 on, got {voxels.min():g} to {voxels.max():g}")
    return Volume(voxels.astype(np.int32), volume.affine)


def check_same_grid(image: str | Path, labels: str | Path) -> None:
    """Check that labels lie on their image's voxels.

    Raises:
        InputError: another shape or place.
    """
    grids = [read_header(path, role).grid for path, role in ((image, "image"), (labels, "label"))]
    if grids[0].shape != grids[1].shape:
        raise InputError(f"label image {labels}: expected the shape of {image}, {grids[0].shape}, got {grids[1].shape}")
    shift = float(np.abs(grids[0].affine - grids[1].affine).max())
    if shift > TOLERANCE:
        raise InputError(f"label image {labels}: expected the place of {image}, got one that is {shift:.3g} away")

"""Linear alignment by this project, ANTs and greedy: two files in, a map from the fixed world to the moving one out."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError
from common.geometry import alignment as poses
from common.geometry.affines import Array
from common.machine import versions
from common.registration import align as own_alignment
from common.registration import mutual_information
from common.registration.align import align
from common.registration.load import load_image
from common.registration.transform_files import read_affine


@dataclass(frozen=True)
class Method:
    """One way to align.

    Attributes:
        title: how tables call it.
        settings: what was run, in words.
        find: fixed file, moving file, scratch folder, threads -> (4, 4) RAS mm, and what it says of itself.
        module: Python module that has to be importable, empty where none is needed.
        distribution: what ``pip install`` calls it.
    """

    title: str
    settings: str
    find: Callable[[str, str, Path, int], tuple[Array, dict[str, Any]]]
    module: str = ""
    distribution: str = ""

    @property
    def version(self) -> str:
        """Of the distribution; of our own code a digest: a change there means a new record.

        Raises:
            InputError: it is not installed.
        """
        if not self.module:
            files = (own_alignment.__file__, mutual_information.__file__, poses.__file__)
            return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()[:12]
        if find_spec(self.module) is None:
            raise InputError(f"{self.title} is not installed: pip install {self.distribution}")
        return versions((self.distribution,)).get(self.distribution, "")


def _ours(fixed: str, moving: str, folder: Path, threads: int) -> tuple[Array, dict[str, Any]]:
    images = load_image(fixed, "fixed"), load_image(moving, "moving")
    found = align(*images)
    if found.kind == "none":  # near enough for a registration; the known poses are to be better than that
        found = align(*images, mode="affine")
    return found.matrix, {"kind": found.kind, "flags": list(found.implausible)}


def _ants(kind: str) -> Callable[[str, str, Path, int], tuple[Array, dict[str, Any]]]:
    def find(fixed: str, moving: str, folder: Path, threads: int) -> tuple[Array, dict[str, Any]]:
        import ants

        images = [ants.image_read(path) for path in (fixed, moving)]
        found = ants.registration(*images, type_of_transform=kind, outprefix=str(folder / "ants_"))
        (path,) = found["fwdtransforms"]
        return read_affine(path).matrix, {}

    return find


def _greedy(fixed: str, moving: str, folder: Path, threads: int) -> tuple[Array, dict[str, Any]]:
    from picsl_greedy import Greedy3D

    path = folder / "greedy.mat"
    with _unheard():
        Greedy3D().execute(
            f"-d 3 -a -dof 12 -m NMI -ia-image-centers -n 100x50x10 -threads {threads} -i {fixed} {moving} -o {path}"
        )
    return np.loadtxt(path), {}


@contextmanager
def _unheard() -> Iterator[None]:
    """Drop what a library in C++ prints."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


METHODS = {
    "ours": Method("ours", "align: auto, no mask; affine where that leaves the images as they are", _ours),
    "ants": Method("ANTs Affine", "ANTsPy's type Affine, its defaults", _ants("Affine"), "ants", "antspyx"),
    "ants_fast": Method(
        "ANTs AffineFast", "ANTsPy's type AffineFast, its defaults", _ants("AffineFast"), "ants", "antspyx"
    ),
    "greedy": Method(
        "greedy -a", "-a -dof 12 -m NMI -ia-image-centers -n 100x50x10", _greedy, "picsl_greedy", "picsl_greedy"
    ),
}  # fmt: skip

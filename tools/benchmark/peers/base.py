"""What an adapter gets and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch

from common.geometry.affines import spacing_of
from common.geometry.fields import lps_to_ddf
from common.geometry.grids import Grid
from common.geometry.sampling import resample


@dataclass(frozen=True)
class Images:
    """A pair of NIfTI files, affinely aligned in world space, and a folder for scratch files.

    What an adapter puts into ``notes`` goes into the record beside the scores (``seconds`` there replaces the wall
    clock of the whole call).
    """

    fixed_path: str
    moving_path: str
    folder: Path
    threads: int = 1
    notes: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def fixed(self) -> np.ndarray:
        """Fixed image (X, Y, Z), float32."""
        return _read(self.fixed_path)[0]

    @cached_property
    def affine(self) -> np.ndarray:
        """Affine (4, 4) of the fixed image, RAS."""
        return _read(self.fixed_path)[1]

    @property
    def spacing(self) -> np.ndarray:
        """Millimetres a voxel of the fixed image, (3,)."""
        return spacing_of(self.affine)

    @cached_property
    def moving_on_fixed(self) -> np.ndarray:
        """Moving image (X, Y, Z), float32, on the fixed image's grid (itself where the grids are the same)."""
        moving, affine = _read(self.moving_path)
        if moving.shape == self.fixed.shape and np.allclose(affine, self.affine, atol=1e-5):
            return moving
        shape = self.fixed.shape
        grid = Grid((shape[0], shape[1], shape[2]), self.affine)
        return resample(torch.from_numpy(moving)[None], affine, grid)[0].numpy()

    def field_from_file(self, path: str | Path) -> np.ndarray:
        """Read a displacement field of ITK or ANTs (5-D NIfTI, LPS millimetres) as a ddf (3, X, Y, Z) in voxels."""
        vectors = np.asarray(nibabel.load(path).dataobj, dtype=np.float32)[:, :, :, 0]  # type: ignore[attr-defined]
        return self.field_from_lps(np.moveaxis(vectors, -1, 0))

    def field_from_lps(self, vectors: np.ndarray) -> np.ndarray:
        """Turn LPS millimetres (3, X, Y, Z) in array order into voxels of the fixed image."""
        return lps_to_ddf(torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32)), self.affine).numpy()


def _read(path: str) -> tuple[np.ndarray, np.ndarray]:
    image = nibabel.load(path)
    return np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Peer:
    """One method of the benchmark.

    Attributes:
        name: how the command line calls it.
        title: how tables call it.
        settings: what was run, in words; printed below every table.
        register: ``Images`` to ddf (3, X, Y, Z) in voxels of the fixed image.
        module: Python module that has to be importable, empty where none is needed.
        distribution: what ``pip install`` calls it.
    """

    name: str
    title: str
    settings: str
    register: Callable[[Images], np.ndarray]
    module: str = ""
    distribution: str = ""

    @property
    def installed(self) -> bool:
        """Whether the tool can be imported here."""
        return not self.module or find_spec(self.module) is not None

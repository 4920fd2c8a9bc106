"""What an adapter gets and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.geometry.affines import spacing_of
from common.geometry.fields import lps_to_ddf
from common.geometry.sampling import resample
from common.images import read_field, read_header, read_volume


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
        return np.ascontiguousarray(read_volume(self.fixed_path, "fixed").voxels, dtype=np.float32)

    @cached_property
    def affine(self) -> np.ndarray:
        """Affine (4, 4) of the fixed image, RAS."""
        return read_header(self.fixed_path, "fixed").grid.affine

    @property
    def spacing(self) -> np.ndarray:
        """Millimetres a voxel of the fixed image, (3,)."""
        return spacing_of(self.affine)

    @cached_property
    def moving_on_fixed(self) -> np.ndarray:
        """Moving image (X, Y, Z), float32, on the fixed image's grid (itself where the grids are the same)."""
        volume = read_volume(self.moving_path, "moving")
        moving = np.ascontiguousarray(volume.voxels, dtype=np.float32)
        grid = read_header(self.fixed_path, "fixed").grid
        if moving.shape == grid.shape and np.allclose(volume.affine, grid.affine, atol=1e-5):
            return moving
        return resample(torch.from_numpy(moving)[None], volume.affine, grid)[0].numpy()

    def field_from_file(self, path: str | Path) -> np.ndarray:
        """Read a displacement field of ITK or ANTs (5-D NIfTI, LPS millimetres) as a ddf (3, X, Y, Z) in voxels."""
        return self.field_from_lps(read_field(path)[0].numpy())

    def field_from_lps(self, vectors: np.ndarray) -> np.ndarray:
        """Turn LPS millimetres (3, X, Y, Z) in array order into voxels of the fixed image."""
        return lps_to_ddf(torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32)), self.affine).numpy()


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

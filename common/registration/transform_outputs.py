"""The transform of a pair as files: which ones are asked for, on which grid the field is stored, and the way back.

``transform.h5`` is a chain: points meet the field, then the affine. ITK's files hold a field in double precision and
unpacked, 24 bytes a voxel, more than all other files of a pair together. So its field is stored at twice the fixed
image's spacing, an eighth of that, unless ``field_spacing`` says otherwise; by how much it misses the whole field is
measured and stands in ``metrics.json``. ``warp.nii.gz`` always holds the total displacement at every voxel.
"""

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.geometry import Grid, shear_of
from common.geometry.inversion import ALIGNED, Residual, inverse, thin_out
from common.geometry.transforms import Affine, DisplacementField, Transform, compose, to_field
from common.images import save_disp, save_field
from common.images.headers import ITK_SHEAR
from common.registration.foreground import foreground_of
from common.registration.grids import grid_of
from common.registration.outputs import AFFINE_FILE, OUTPUTS
from common.registration.transform_files import write_transform

Writer: TypeAlias = Callable[[Path], None]
logger = logging.getLogger(__name__)
#: How much coarser than the fixed image's the stored field's grid is, unless told otherwise.
THINNER = 2.0


def field_spacing_of(value: float | str) -> float | None:
    """Read the spacing of the stored field: millimetres, 0 for the fixed image's own grid, None for ``auto``.

    Raises:
        InputError: neither a number from 0 on nor ``auto``.

    >>> field_spacing_of("2"), field_spacing_of("auto")
    (2.0, None)
    """
    if value == "auto":
        return None
    try:
        spacing = float(value)
    except (TypeError, ValueError):
        spacing = float("nan")
    if not 0 <= spacing < float("inf"):
        raise InputError(f"field_spacing: expected auto, 0 (the image's own grid) or millimetres, got {value!r}")
    return spacing


@dataclass(frozen=True, eq=False)
class StoredTransform:
    """One pair's transform as its files hold it.

    Args:
        names: which files, of ``OUTPUTS``.
        field: what points meet first, on the fixed image's own grid.
        affine: what they meet next, where there was an alignment.
        moving: grid of the moving image.
        spacing: millimetres between the stored vectors; 0: as ``field`` has them.
        region: (X, Y, Z) of the fixed image over which the error of storing is taken.
    """

    names: tuple[str, ...]
    field: DisplacementField
    affine: Affine | None
    moving: Grid
    spacing: float
    region: NDArray[np.bool_]

    def figures(self) -> dict[str, Any]:
        """The entry ``transforms`` of ``metrics.json``."""
        figures: dict[str, Any] = {}
        if {"transform", "inverse", "inverse_warp", "inverse_disp"} & set(self.names):
            figures["field_spacing_mm"] = self._thin[0].grid.spacing.tolist()
            figures["field_error"] = asdict(self._thin[1])
        if any(name.startswith("inverse") for name in self.names):
            figures["inverse_residual"] = asdict(self._back[1])
        return figures

    def writers(self) -> dict[str, Writer]:
        """A writer for each file, by its name."""
        fixed, moving = self.field.grid, self.moving
        known: dict[str, Writer] = {
            "transform": lambda path: write_transform(self._chain(self._thin[0]), path),
            "inverse": lambda path: write_transform(self._back[0], path),
            "inverse_warp": lambda path: save_field(self._back_field.ddf, moving.affine, path),
            "disp": lambda path: save_disp(to_field(self.whole, fixed).ddf, fixed, moving.affine, path),
            "inverse_disp": lambda path: save_disp(self._back_field.ddf, moving, fixed.affine, path),
        }
        writers = {OUTPUTS[name]: known[name] for name in self.names}
        if (affine := self.affine) is not None:
            writers[AFFINE_FILE] = lambda path: write_transform(affine, path)
        return writers

    @property
    def whole(self) -> Transform:
        """Field, then affine, none of it thinned."""
        return self._chain(self.field)

    def _chain(self, field: DisplacementField) -> Transform:
        return compose(field, *([self.affine] if self.affine else []))

    @cached_property
    def _thin(self) -> tuple[DisplacementField, Residual]:
        if self.spacing <= self.field.grid.spacing.min():
            return self.field, Residual(0.0, 0.0)
        return thin_out(self.field, self.spacing, self.region)

    @cached_property
    def _back(self) -> tuple[Transform, Residual]:
        # Of what is stored, not of the whole field: the two files are each other's inverse.
        return inverse(self._chain(self._thin[0]))

    @cached_property
    def _back_field(self) -> DisplacementField:
        return to_field(self._back[0], self.moving)


def stored_transform(
    data: Mapping[Hashable, Any], names: Sequence[str] = (), field_spacing: float | None = None
) -> StoredTransform:
    """The transform of a pair behind ``ToFixedGridd``.

    Args:
        data: the pair's dictionary.
        names: which files are wanted; those that the fixed image's axes make impossible are left out, with a word.
        field_spacing: see ``field_spacing_of``.
    """
    total = DisplacementField(grid_of(data["fixed"]), data["ddf"].as_tensor())
    field, affine = total, None
    if data.get("alignment") is not None:
        affine = Affine(np.asarray(data["alignment"], dtype=np.float64), ALIGNED, "moving")
        field = to_field(compose(total, affine.inverted()), total.grid)
    spacing = THINNER * float(total.grid.spacing.min()) if field_spacing is None else field_spacing
    region = foreground_of(dict(data), "fixed")
    return StoredTransform(_possible(names, total.grid), field, affine, grid_of(data["moving"]), spacing, region)


def _possible(names: Sequence[str], fixed: Grid) -> tuple[str, ...]:
    """Without the files that ITK cannot hold: fields on axes that are not orthogonal."""
    sheared = shear_of(fixed.affine) > ITK_SHEAR
    left_out = [name for name in names if sheared and OUTPUTS[name].endswith(".h5")]
    for name in left_out:
        logger.warning("%s is not written: the fixed image's axes are not orthogonal, as ITK needs them", OUTPUTS[name])
    return tuple(name for name in names if name not in left_out)

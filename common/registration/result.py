"""One pair's registration in memory: images, transforms, figures, and further images and points brought along."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import ArrayLike

from common.geometry import Grid
from common.geometry.affines import Array
from common.geometry.inversion import invert_points
from common.geometry.pulling import pull
from common.geometry.transforms import DisplacementField, Transform, apply_to_points, to_field
from common.images import read_volume
from common.images.volumes import nifti_image
from common.registration.applying import outside_of
from common.registration.in_memory import voxels_of


@dataclass(frozen=True, eq=False)
class Registration:
    """What ``register`` returns.

    Attributes:
        moved: the moving image on the fixed image's grid.
        moved_label: the moving image's labels there, where there are some.
        moved_points: the moving image's points in the fixed one, (N, 3) RAS millimetres, where some were given.
        transform: points of the fixed image to the moving one, RAS millimetres: field, then affine.
        inverse: the other way, where it was asked for; ``metrics["transforms"]["inverse_residual"]`` is what it misses.
        metrics: what ``metrics.json`` holds.
    """

    moved: nib.Nifti1Image
    moved_label: nib.Nifti1Image | None
    moved_points: Array | None
    transform: Transform
    inverse: Transform | None
    metrics: dict[str, Any]

    def apply(self, image: Any, interpolation: str = "linear") -> nib.Nifti1Image:
        """Bring another image of the moving image's space onto the fixed image's grid.

        Args:
            image: a path, or an image as ``register`` takes it.
            interpolation: ``linear``, ``cubic``, ``nearest``, or ``label`` for label maps.

        Raises:
            InputError: it cannot be read, or there is no such interpolation.
        """
        if isinstance(image, (str, Path)):
            volume = read_volume(image, "further")
            voxels, affine = volume.voxels, volume.affine
        else:
            voxels, affine = voxels_of(image, "further")
        outside = outside_of(voxels, interpolation)
        return nifti_image(pull(voxels, affine, self._field, interpolation, outside), self._field.grid.affine)

    def points_to_moving(self, points: ArrayLike) -> Array:
        """Where points of the fixed image lie in the moving one. (N, 3) RAS millimetres -> the same."""
        return apply_to_points(self.transform, points)

    def points_to_fixed(self, points: ArrayLike) -> Array:
        """Where points of the moving image lie in the fixed one, each followed back on its own. (N, 3) -> the same."""
        return invert_points(self.transform, points)[0]

    @cached_property
    def _field(self) -> DisplacementField:
        x, y, z = self.moved.shape
        return to_field(self.transform, Grid((x, y, z), np.asarray(self.moved.affine)))

"""Diffeomorphic demons of ITK, through SimpleITK: three resolutions after histogram matching. One contrast only."""

from typing import Any

import numpy as np

from tools.benchmark.peers.base import Images, Peer

_LEVELS = ((4, 100), (2, 100), (1, 50))


def register(images: Images) -> np.ndarray:
    """Coarse to fine; the field of each level starts the next."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(images.threads)
    fixed, moving = (_to_itk(volume, images.affine) for volume in (images.fixed, images.moving_on_fixed))
    moving = SimpleITK.HistogramMatching(moving, fixed, 1024, 7, True)
    field = SimpleITK.Image(_shrink(fixed, _LEVELS[0][0]).GetSize(), SimpleITK.sitkVectorFloat64)
    field.CopyInformation(_shrink(fixed, _LEVELS[0][0]))
    for factor, iterations in _LEVELS:
        small = [_shrink(volume, factor) for volume in (fixed, moving)]
        demons = SimpleITK.DiffeomorphicDemonsRegistrationFilter()
        demons.SetNumberOfIterations(iterations)
        demons.SetStandardDeviations(1.5)
        field = demons.Execute(*small, SimpleITK.Resample(field, small[0]))
    field = SimpleITK.Resample(field, fixed)
    # SimpleITK gives (z, y, x, component).
    return images.field_from_lps(SimpleITK.GetArrayFromImage(field).transpose(3, 2, 1, 0))


def _to_itk(volume: np.ndarray, affine: np.ndarray) -> Any:
    """A (X, Y, Z) array with a RAS affine as a SimpleITK image in LPS."""
    import SimpleITK

    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(volume.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    return image


def _shrink(image: Any, factor: int) -> Any:
    import SimpleITK

    if factor == 1:
        return image
    smooth = SimpleITK.SmoothingRecursiveGaussian(image, [0.5 * factor * s for s in image.GetSpacing()])
    return SimpleITK.Shrink(smooth, [factor] * 3)


PEER = Peer(
    "demons",
    "diffeomorphic demons",
    "ITK by SimpleITK, histogram matching, factors 4/2/1, 100/100/50 iterations, sigma 1.5 voxels",
    register,
    "SimpleITK",
    "SimpleITK",
)

"""Make the sample pair of the demo: a brain with a known deformation between its two images.

Fixed: the skull-stripped MNI152 2009a T1 template that the nilearn wheel carries, cropped, 1 mm, RAS, uint8.
Moving: the same anatomy under a seeded random diffeomorphism, rendered with a CT-like contrast (Hounsfield units,
white matter darker than grey), with cupping and noise, on an oblique, anisotropic int16 grid in another orientation.
The true field stays beside them, so that a registration's error can be told in millimetres.

Run once, from the repository root: ``pip install nilearn && python -m tools.sample.make_sample``. The result is
committed; the script is here so that everybody can see how it was made.
"""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from common.images import save_volume
from common.sample import FOLDER
from common.spatial import integrate

SEED = 20240131
FIELD_SPACING = 4.0  # mm; the true field is the trilinear interpolation of its values on this grid
MEAN_DISPLACEMENT = 5.0  # mm over the brain
MOVING_SPACING = np.array([1.2, 2.0, 1.0])  # mm along the moving image's own axes
MOVING_AXES = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], dtype=float)  # index axes run posterior, inferior, right
OBLIQUE_DEGREES = (9.0, -6.0, 12.0)
TISSUE_INTENSITY = {"fluid": 8.0, "grey": 37.0, "white": 29.0}  # Hounsfield units

Array = NDArray[np.float64]


def template() -> tuple[nib.Nifti1Image, dict[str, Array]]:
    """Return the cropped T1 template and its tissue shares on the same grid."""
    import nilearn.datasets

    folder = Path(nilearn.datasets.__file__).parent / "data"
    images: dict[str, Any] = {
        kind: nib.load(folder / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz") for kind in ("t1", "gm", "wm")
    }
    t1 = np.asarray(images["t1"].dataobj)
    corners = np.argwhere(t1 > 0)
    low = np.maximum(corners.min(0) - 6, 0)
    high = np.minimum(corners.max(0) + 7, t1.shape)
    crop = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    affine = images["t1"].affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    fixed = nib.Nifti1Image(t1[crop], affine)
    fixed.set_qform(affine, 4)  # 4: MNI152 space
    fixed.set_sform(affine, 4)
    grey, white = (np.asarray(images[kind].dataobj)[crop] / 255.0 for kind in ("gm", "wm"))
    brain = ndimage.binary_fill_holes(t1[crop] > 0)
    fluid = np.clip(brain - grey - white, 0, 1)
    return fixed, {"fluid": fluid, "grey": grey, "white": white, "brain": brain.astype(float)}


def tissue_labels(tissue: dict[str, Array]) -> NDArray[np.uint8]:
    """The tissue with the largest share of each voxel of the brain, as ``common.sample.TISSUES`` numbers them."""
    shares = np.stack([tissue[name] for name in TISSUE_INTENSITY])
    return np.where(tissue["brain"] > 0, shares.argmax(axis=0) + 1, 0).astype(np.uint8)


def random_field(fixed: nib.Nifti1Image, brain: Array, seed: int) -> tuple[Array, Array]:
    """Draw the true field.

    Returns:
        field: (X, Y, Z, 3), RAS mm, on a 4 mm grid over the fixed image; a fixed point x lies at x + field(x) in the
            moving image.
        affine: (4, 4) of that grid.
    """
    random = np.random.default_rng(seed)
    shape = [int(np.ceil(n / FIELD_SPACING)) + 1 for n in fixed.shape]
    affine = fixed.affine @ np.diag([FIELD_SPACING] * 3 + [1.0])  # the template is 1 mm, so the factor is the spacing
    noise = random.standard_normal((3, *shape))
    smooth = sum(
        weight * _unit_variance(np.stack([ndimage.gaussian_filter(c, sigma / FIELD_SPACING) for c in noise]))
        for sigma, weight in ((28.0, 1.0), (14.0, 0.35))
    )
    on_grid = ndimage.zoom(brain, np.array(shape) / np.array(brain.shape), order=1) > 0.5
    velocity = smooth * (MEAN_DISPLACEMENT / FIELD_SPACING / np.linalg.norm(smooth, axis=0)[on_grid].mean())
    for _ in range(3):  # the exponential is not linear: rescale until the mean displacement is as wished
        ddf = integrate(torch.from_numpy(velocity)[None], steps=7)[0].numpy()
        velocity *= MEAN_DISPLACEMENT / FIELD_SPACING / np.linalg.norm(ddf, axis=0)[on_grid].mean()
    ddf = integrate(torch.from_numpy(velocity)[None], steps=7)[0].numpy()
    return np.moveaxis(ddf, 0, -1) @ affine[:3, :3].T, affine


def _unit_variance(field: Array) -> Array:
    return field / field.std()


def interpolate(volume: Array, affine: Array, points: Array, outside: str = "constant") -> Array:
    """Trilinear values of a volume (X, Y, Z) at world points (3, ...); outside: ``constant`` zero or ``nearest``."""
    inverse = np.linalg.inv(affine)
    index = np.tensordot(inverse[:3, :3], points, axes=1) + inverse[:3, 3].reshape(3, *[1] * (points.ndim - 1))
    return ndimage.map_coordinates(volume, index, order=1, mode=outside)


def invert_at(points: Array, field: Array, affine: Array, iterations: int = 40) -> Array:
    """Fixed points x with ``x + field(x) = y`` for given moving points y (3, ...), by fixed-point iteration."""
    x = points.copy()
    for _ in range(iterations):
        x = points - np.stack([interpolate(field[..., k], affine, x, "nearest") for k in range(3)])
    return x


def moving_grid(fixed: nib.Nifti1Image) -> tuple[tuple[int, int, int], Array]:
    """Shape and RAS affine of the moving image: oblique, anisotropic, other axis order, centred on the fixed image."""
    a, b, c = np.radians(OBLIQUE_DEGREES)
    rotate_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    rotate_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rotate_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    directions = rotate_x @ rotate_y @ rotate_z @ MOVING_AXES
    extent = np.abs(MOVING_AXES).T @ (np.array(fixed.shape) + 30.0)
    shape = np.ceil(extent / MOVING_SPACING).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = directions * MOVING_SPACING
    centre = fixed.affine @ np.append((np.array(fixed.shape) - 1) / 2, 1)
    affine[:3, 3] = centre[:3] - affine[:3, :3] @ ((shape - 1) / 2)
    return (int(shape[0]), int(shape[1]), int(shape[2])), affine


def render(tissue: dict[str, Array], fixed_affine: Array, field: Array, field_affine: Array, seed: int) -> Array:
    """CT-like intensities on the moving grid; the thick axis averages two sub-slices."""
    shape, affine = moving_grid(nib.Nifti1Image(tissue["brain"], fixed_affine))
    index = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in shape], indexing="ij"))
    thick = int(np.argmax(MOVING_SPACING))
    total = np.zeros(shape)
    for shift in (-0.25, 0.25):
        shifted = index.copy()
        shifted[thick] += shift
        world = np.tensordot(affine[:3, :3], shifted, axes=1) + affine[:3, 3].reshape(3, 1, 1, 1)
        x = invert_at(world, field, field_affine)
        total += 0.5 * sum(
            level * interpolate(tissue[name], fixed_affine, x) for name, level in TISSUE_INTENSITY.items()
        )
    random = np.random.default_rng(seed + 1)
    bias = ndimage.zoom(random.standard_normal((4, 4, 4)), np.array(shape) / 4, order=3)
    total *= np.exp(0.03 * bias / bias.std())
    noisy = np.maximum(total + random.standard_normal(shape) * 3.0, 1.0)
    return np.where(total > 1.0, noisy, 0.0)  # the background of a skull-stripped image is zero


def main(folder: Path = FOLDER, seed: int = SEED) -> None:
    """Write ``fixed_t1.nii.gz``, ``fixed_tissue.nii.gz``, ``moving_ct.nii.gz`` and ``true_field.nii.gz``."""
    fixed, tissue = template()
    field, field_affine = random_field(fixed, tissue["brain"], seed)
    moving = render(tissue, fixed.affine, field, field_affine, seed)
    _, affine = moving_grid(fixed)
    nib.save(fixed, folder / "fixed_t1.nii.gz")
    save_volume(tissue_labels(tissue), fixed.affine, folder / "fixed_tissue.nii.gz", np.uint8)
    image = nib.Nifti1Image(np.rint(moving).astype(np.int16), affine)
    image.set_qform(affine, 1)  # 1: scanner coordinates
    image.set_sform(affine, 1)
    nib.save(image, folder / "moving_ct.nii.gz")
    lps = (field * np.array([-1.0, -1.0, 1.0])).astype(np.float32)
    warp = nib.Nifti1Image(lps[:, :, :, None, :], field_affine)
    warp.header.set_intent("vector")
    nib.save(warp, folder / "true_field.nii.gz")
    inside = interpolate(tissue["brain"], fixed.affine, _grid_points(field.shape[:3], field_affine)) > 0.5
    length = np.linalg.norm(field, axis=-1)[inside]
    print(f"true displacement in the brain: mean {length.mean():.2f} mm, largest {length.max():.2f} mm")


def _grid_points(shape: tuple[int, ...], affine: Array) -> Array:
    index = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in shape], indexing="ij"))
    return np.tensordot(affine[:3, :3], index, axes=1) + affine[:3, 3].reshape(3, 1, 1, 1)


if __name__ == "__main__":
    main()

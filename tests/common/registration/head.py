"""A head, known at every point of the world: skull, brain and forty blobs in it, in two contrasts, on any grid."""

import numpy as np
import torch
from monai.data import MetaTensor

from common.geometry import reorient
from tests.common.registration.phantom import world_points

CENTRE = np.array([5.0, -10.0, 15.0])
#: Half axes of the brain in millimetres.
BRAIN = np.array([62.0, 78.0, 58.0])
_generator = np.random.default_rng(3)
_BLOBS = [
    (_generator.uniform(-0.7, 0.7, 3) * BRAIN, _generator.uniform(7, 16), _generator.uniform(-0.6, 0.6))
    for _ in range(40)
]


def intensity(points: np.ndarray, skull: bool = True, contrast: str = "t1") -> np.ndarray:
    """Values at world points (..., 3): 0 in air; ``t2`` is dark where ``t1`` is bright, and the other way round."""
    local = points - CENTRE
    radius = np.sqrt(((local / BRAIN) ** 2).sum(-1))
    value = 0.5 + sum(h * np.exp(-((local - c) ** 2).sum(-1) / (2 * w**2)) for c, w, h in _BLOBS)
    value = np.clip(value if contrast == "t1" else 1.1 - value, 0.05, 1.0)
    rim = np.sqrt(((local / (BRAIN + 16)) ** 2).sum(-1))
    scalp = np.where((rim < 1) & (rim > 0.92), 0.9 if contrast == "t1" else 0.6, np.where(rim <= 0.92, 0.08, 0.0))
    return 200 * np.where(radius < 1, value, scalp if skull else 0.0)


def head(
    spacing: tuple[float, float, float] = (4.0, 4.0, 4.0),
    code: str = "RAS",
    pose: np.ndarray | None = None,
    top: float = 0.0,
    **look: str | bool,
) -> MetaTensor:
    """An image (1, X, Y, Z) of the head.

    Args:
        spacing: millimetres, before the axes are reordered.
        code: orientation of the axes.
        pose: (4, 4) by which the header moves the head in the world.
        top: millimetres that are missing at the top.
        look: ``skull`` and ``contrast`` of ``intensity``.
    """
    extent = 2 * (BRAIN + 26)
    extent[2] -= top
    shape = tuple(int(n) for n in np.ceil(extent / spacing))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = CENTRE - BRAIN - 26
    voxels = intensity(world_points(shape, affine), **look)
    voxels, affine = reorient(voxels, affine, code)
    moved = affine if pose is None else pose @ affine
    array = torch.from_numpy(np.ascontiguousarray(voxels[None], dtype=np.float32))
    return MetaTensor(array, affine=torch.from_numpy(moved), meta={"filename_or_obj": "head"})


def brain_points() -> np.ndarray:
    """World points all over the brain, (N, 3)."""
    local = np.random.default_rng(0).uniform(-1, 1, (2000, 3))
    return CENTRE + BRAIN * local[(local**2).sum(axis=1) < 1]

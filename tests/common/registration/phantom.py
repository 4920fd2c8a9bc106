"""A small asymmetric "brain", known at every point of the world, and pairs of it on all kinds of grids."""

from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from common.geometry import reorient

CENTRE = np.array([3.0, -5.0, 8.0])
#: Centres (from CENTRE), widths and heights of the bumps that the brain consists of, in mm.
BUMPS = (
    ((0, 0, 0), 11.0, 0.8),
    ((9, 4, -3), 5.0, 0.7),
    ((-6, 10, 5), 4.0, -0.5),
    ((2, -9, 8), 5.0, 0.6),
)


def brain(points: np.ndarray) -> np.ndarray:
    """Intensity (0 to about 100) at world points (..., 3); zero beyond an ellipsoid of 17 x 21 x 15 mm."""
    local = points - CENTRE
    inside = ((local / np.array([17.0, 21.0, 15.0])) ** 2).sum(-1) < 1
    value = sum(h * np.exp(-((local - np.array(c)) ** 2).sum(-1) / (2 * w**2)) for c, w, h in BUMPS)
    return np.where(inside, 40 * value + 30, 0.0)


def world_points(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """World positions of all voxels, (X, Y, Z, 3)."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def centred_affine(shape: tuple[int, ...], spacing=(2.0, 2.0, 2.0), degrees=(0, 0, 0), shift=(0, 0, 0)) -> np.ndarray:
    """RAS affine with a grid's centre at the brain's, turned by Euler angles and shifted by millimetres."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = [k for k in range(3) if k != axis]
        step = np.eye(3)
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        turn = turn @ step
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array(spacing)
    affine[:3, 3] = CENTRE + np.array(shift) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def make_image(path: Path, shape=(26, 29, 23), code: str = "RAS", dtype=np.float32, deform: float = 0.0, **geometry):
    """Write the brain on a grid; ``deform`` millimetres of a smooth displacement make another subject of it."""
    affine = centred_affine(shape, **geometry)
    points = world_points(shape, affine)
    points = points + deform * np.sin(points[..., [1, 2, 0]] / 9.0)
    volume, turned = reorient(brain(points), affine, code)
    image = nib.Nifti1Image(np.ascontiguousarray(volume).astype(dtype), turned)
    image.set_sform(turned, 1)
    image.set_qform(turned, 1)
    nib.save(image, path)
    return path


class WavyNetwork(torch.nn.Module):
    """Stands for a trained network: a smooth field of at most ``amplitude`` voxels that ignores its input."""

    def __init__(self, amplitude: float = 1.5) -> None:
        super().__init__()
        self.amplitude = amplitude

    def forward(self, pair: torch.Tensor) -> torch.Tensor:
        """(B, 2, X, Y, Z) -> (B, 3, X, Y, Z)."""
        x, y, z = (torch.arange(n, dtype=torch.float32) for n in pair.shape[2:])
        waves = [
            torch.sin(y / 5)[None, :, None] * torch.cos(z / 6)[None, None, :] + 0 * x[:, None, None],
            torch.cos(x / 6)[:, None, None] * torch.sin(z / 5)[None, None, :] + 0 * y[None, :, None],
            torch.sin(x / 7)[:, None, None] * torch.sin(y / 6)[None, :, None] + 0 * z[None, None, :],
        ]
        return self.amplitude * torch.stack(waves)[None].expand(pair.shape[0], -1, -1, -1, -1)

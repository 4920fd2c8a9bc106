"""A CT of a head, made up: a brain of known outline in a skull with openings below, scalp, neck, air and a table."""

import numpy as np

from tests.common.registration.phantom import world_points

#: Half axes of the brain in mm, and thickness of fluid, bone and scalp around it.
AXES = np.array([66.0, 84.0, 62.0])
FLUID, BONE, SCALP = 3.0, 7.0, 8.0


def head_ct(shape=(100, 124, 110), spacing: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hounsfield units (X, Y, Z), where the brain and its fluid are (X, Y, Z), and the affine (RAS)."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2) - (0, 0, 20)
    points = world_points(shape, affine)
    distance = (np.linalg.norm(points / AXES, axis=-1) - 1) * AXES.mean()
    x, y, z = np.moveaxis(points, -1, 0)
    volume = np.full(shape, -1000.0)
    neck = (np.hypot(x / 55, (y + 15) / 60) < 1) & (z < -30)
    volume[(distance < FLUID + BONE + SCALP) | neck] = 45.0
    volume[(np.hypot(x, y + 40) < 16) & (z < -60)] = 600.0  # spine
    skull = (distance >= FLUID) & (distance < FLUID + BONE)
    volume[skull] = 1100.0
    hole = skull & (np.hypot(x, y + 10) < 9) & (z < 0)  # foramen magnum
    volume[hole] = 30.0
    volume[(np.hypot(np.hypot(np.abs(x) - 32, y - 95), z + 20) < 14)] = 20.0  # eyes
    inside = distance < FLUID
    volume[inside] = 8.0
    brain = distance < 0
    volume[brain] = 34 + 4 * np.sin(x[brain] / 7) * np.cos(y[brain] / 9)
    volume[(np.abs(y + 118) < 3) & (np.abs(x) < 80)] = -200.0  # table
    volume += np.random.default_rng(seed).normal(0, 5, shape) * (volume > -900)
    return volume.astype(np.float32), inside, affine

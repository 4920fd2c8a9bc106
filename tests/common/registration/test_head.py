"""Heads are told from brains: by rule on phantoms, and on every image of the kit and of the acquired ones."""

from pathlib import Path

import numpy as np
import pytest

from common.geometry import looks_like_ct
from common.images import read_volume
from common.registration.head import HEAD, signs_of
from tests.common.registration.phantom import world_points
from tests.common.registration.skull import head_ct
from tests.conftest import SHARED
from tests.house import ROOT

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
AFFINE[:3, 3] = -99.0


def ball(radius: float, noise: float) -> np.ndarray:
    """A ball of a radius in mm at 100, air with a scanner's noise around it."""
    shape = (100, 100, 100)
    inside = np.linalg.norm(world_points(shape, AFFINE), axis=-1) < radius
    generator = np.random.default_rng(0)
    return np.where(inside, generator.normal(100, 5, shape), np.abs(generator.normal(0, 1, shape)) * noise)


@pytest.mark.parametrize(
    ("radius", "noise", "head"),
    [
        (72, 0, False),  # 1.6 litres and nothing around: a brain
        (72, 2, True),  # the same in a scanner's air: part of a head
        (86, 0, True),  # 2.7 litres
        (20, 2, False),  # no human head
    ],
)
def test_the_rule(radius: float, noise: float, head: bool):
    signs = signs_of(ball(radius, noise), AFFINE)
    assert signs.head is head
    # Blocks of 4 mm: a small ball looks larger than it is.
    assert signs.millilitres == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.08 if radius > 50 else 0.4)


def test_a_hollow_head_counts_with_what_it_encloses():
    volume = ball(86, 0)
    volume[np.linalg.norm(world_points(volume.shape, AFFINE), axis=-1) < 78] = 0
    assert signs_of(volume, AFFINE).millilitres > HEAD


def test_a_ct_with_its_table():
    volume, _, affine = head_ct()
    assert signs_of(volume, affine).head and looks_like_ct(volume)


IMAGES = [ROOT / "common" / "sample" / name for name in ("fixed_t1.nii.gz", "moving_ct.nii.gz")]
IMAGES += sorted((SHARED / "data" / "real").glob("*.nii.gz")) + sorted((SHARED / "data" / "2mm" / "images").glob("*"))


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_every_image_at_hand(path: Path):
    volume = read_volume(path, "image")
    signs = signs_of(volume.voxels.astype(np.float32), volume.affine)
    assert signs.head is path.name.startswith("head_")

"""What the tests of all bundles share: the list of bundles, and a small pair of images."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.parent.parent for path in ROOT.glob("bundles/*/configs/metadata.json"))


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def run_stock(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """Run ``python -m monai.bundle ...`` in a process of its own and return what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    return subprocess.run(
        [sys.executable, "-m", "monai.bundle", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=environment,
        timeout=600,
        check=False,
    )


@pytest.fixture(params=BUNDLES, ids=lambda path: path.name)
def bundle(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A lumpy ball of 44 mm and the same ball, shifted, on another grid, in another orientation."""
    folder = tmp_path_factory.mktemp("pair")
    random = np.random.default_rng(0)
    volume = ndimage.gaussian_filter(random.random((40, 44, 36)), 2)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in volume.shape], indexing="ij"))
    volume = np.where((grid**2).sum(0) < 0.6, volume - volume.min() + 0.05, 0)
    affine = np.diag([1.2, 1.1, 1.3, 1.0])
    affine[:3, 3] = (-20, 5, 12)
    moving_affine = affine @ np.diag([-1.0, 1, -1, 1])
    moving_affine[:3, 3] = affine[:3, 3] + affine[:3, :3] @ [39, 0, 35] + [1.5, -2, 1]
    nib.save(nib.Nifti1Image((volume * 1000).astype(np.int16), affine), folder / "fixed.nii.gz")
    nib.save(nib.Nifti1Image((volume[::-1, :, ::-1]).astype(np.float32), moving_affine), folder / "moving.nii.gz")
    return folder / "fixed.nii.gz", folder / "moving.nii.gz"

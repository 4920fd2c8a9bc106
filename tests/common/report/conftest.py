"""The written files of one small registration, with everything in ``metrics.json`` that a report can show."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.common.registration.phantom import WavyNetwork, make_image
from tests.common.registration.pipeline import metrics_of, register

MATRIX = [[1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
#: What the small pipeline has no steps for.
FURTHER = {
    "passes": [2, 1],
    "weights": {"file": "/bundles/none/models/model.pt", "sha256": "ab" * 32},
    "alignment": {
        "matrix": MATRIX, "kind": "affine", "start": "search", "word": "affine alignment by 2 mm", "overlap": 0.97,
        "mutual_information": {"before": 0.1, "after": 0.3}, "implausible": ["scale 2.3"],
    },
    "refinement": {
        "preset": "auto", "contrasts": 1, "start": "network", "reasons": ["one contrast"],
        "levels": [{"stage": "correlation at 2 voxels", "shape": [8, 8, 8], "similarity": [0.2, 0.4, 0.5]}],
    },
    "quality": [
        {"flag": "cut", "value": 0.3, "limit": 0.2, "word": "the images differ", "what_to_do": "look at them",
         "serious": False},
        {"flag": "folds", "value": 2.0, "limit": 0.5, "word": "2 % fold", "what_to_do": "", "serious": True},
    ],
    "fallback": {"to": "the alignment alone", "because": ["it folds"], "rejected": []},
}  # fmt: skip


def make_result(folder: Path) -> Path:
    """Register a phantom with labels into ``folder/out``."""
    fixed = make_image(folder / "fixed.nii.gz", code="LAS")
    moving = make_image(folder / "moving.nii.gz", code="PIR", spacing=(1.7, 2.3, 2.0), deform=2.0)
    pairs = {"fixed": str(fixed), "moving": str(moving)}
    for role in ("fixed", "moving"):
        image = nib.load(pairs[role])
        labels = np.digitize(image.get_fdata(), [20, 60]).astype(np.uint8)
        nib.save(nib.Nifti1Image(labels, image.affine), folder / f"{role}_label.nii.gz")
        pairs[f"{role}_label"] = str(folder / f"{role}_label.nii.gz")
    register(folder / "out", WavyNetwork(), pairs)
    metrics = metrics_of(folder / "out") | FURTHER
    (folder / "out" / "metrics.json").write_text(json.dumps(metrics))
    return folder / "out"


@pytest.fixture(scope="session")
def result_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_result(tmp_path_factory.mktemp("registered"))

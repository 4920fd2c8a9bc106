"""A tiny network with the interface of the real ones, and a tiny data set on disk."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from torch import Tensor, nn

from common.losses import GradientLoss, LocalCorrelationLoss, SoftDiceLoss
from common.spatial import integrate
from common.training.objective import Objective

SIZE = (16, 16, 16)


class TinyNetwork(nn.Module):
    """Two convolutions to a velocity field; dropout makes the random state visible."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.first, self.second = nn.Conv3d(2, 4, 3, padding=1), nn.Conv3d(4, 3, 3, padding=1)
        self.dropout = nn.Dropout3d(dropout)
        self.unused = nn.Parameter(torch.zeros(2), requires_grad=False)

    def fields(self, pair: Tensor) -> dict[str, Tensor]:
        """Return velocity and ddf."""
        velocity = self.second(self.dropout(torch.tanh(self.first(pair))))
        return {"velocity": velocity, "ddf": integrate(velocity, 3)}

    def forward(self, pair: Tensor) -> Tensor:
        """Return the ddf."""
        return self.fields(pair)["ddf"]


def batch_of(shift: int = 2) -> dict[str, Tensor]:
    """A blob and the same blob moved by ``shift`` voxels, as a batch of one pair."""
    axes = torch.stack(torch.meshgrid(*[torch.arange(16.0) - 7.5] * 3, indexing="ij"))
    blob = torch.exp(-(axes**2).sum(0) / 20)[None, None]
    moved = blob.roll(shift, 2)
    label = (blob > 0.4).to(torch.uint8)
    return {
        "image": torch.cat([moved, blob], 1),
        "moving": moved,
        "fixed": blob,
        "moving_label": label.roll(shift, 2),
        "fixed_label": label,
    }


def objective(**options: Any) -> Objective:
    """All terms, for the labels of ``batch_of``."""
    return Objective(
        image_loss=LocalCorrelationLoss(5),
        label_loss=SoftDiceLoss([1]),
        smooth_loss=GradientLoss(),
        **{"smooth_weight": 0.1, **options},
    )


def write_data_set(folder: Path, subjects: int = 3) -> Path:
    """Write subjects with an ellipsoid of two labels each, and one validation pair; return the datalist."""
    rng = np.random.default_rng(0)
    axes = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SIZE], indexing="ij"), -1)
    items = []
    for number in range(subjects + 2):
        radius = np.sqrt(((axes / (1 + 0.2 * rng.random(3))) ** 2).sum(-1))
        label = ((radius < 6.5).astype(np.uint8) + (radius < 3.5)).astype(np.uint8)
        t1 = np.where(label > 0, 60.0 * label + 5 * rng.random(SIZE), 0).astype(np.float32)
        ct = np.where(label > 0, 200.0 - 70 * label, 0).astype(np.uint8)
        for name, values in (("t1", t1), ("ct", ct), ("label", label)):
            nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 2, 2, 1])), folder / f"s{number}_{name}.nii.gz")
        items.append({"id": f"s{number}", **{k: f"s{number}_{k}.nii.gz" for k in ("t1", "ct", "label")}})
    moving, fixed = items[-2:]
    pair = {
        "moving": moving["t1"],
        "fixed": fixed["ct"],
        "moving_label": moving["label"],
        "fixed_label": fixed["label"],
        "kind": "T1-CT",
    }
    content = {
        "labels": {"0": "Background", "1": "outer", "2": "inner"},
        "freesurfer_ids": {"1": 3, "2": 2},
        "training": items[:subjects],
        "validation": [pair],
    }
    path = folder / "list.json"
    path.write_text(json.dumps(content))
    return path

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.geometry import background_value, extreme_points, foreground_mask
from common.registration import foreground
from common.registration.foreground import background_of, foreground_of, foreground_points, outside_value
from tests.common.registration.phantom import WavyNetwork, make_image
from tests.common.registration.pipeline import register

HEAD = np.pad(np.full((4, 5, 6), 9.0, np.float32), 3, constant_values=-1)
CROP = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


def image(volume: np.ndarray) -> MetaTensor:
    return MetaTensor(torch.from_numpy(volume)[None], affine=torch.diag(torch.tensor([2.0, 1, 1, 1]).double()))


@pytest.mark.parametrize(("volume", "background", "outside"), [(HEAD, -1.0, -1.0), (CROP, None, 0.0)])
def test_equal_to_geometry(volume, background, outside):
    data = {"fixed": image(volume)}
    assert background_of(data, "fixed") == background == background_value(volume)
    assert outside_value(data, "fixed") == outside
    mask = foreground_of(data, "fixed")
    assert np.array_equal(mask, foreground_mask(volume))
    assert np.array_equal(foreground_points(data, "fixed"), extreme_points(mask, np.diag([2.0, 1, 1, 1])))
    assert math.isnan(data["fixed_background"]) is (background is None)  # None does not collate


def test_once_an_image_in_a_whole_run(tmp_path, monkeypatch):
    """Workers and collation included: what was found travels in the dictionary."""
    asked = []
    monkeypatch.setattr(foreground, "background_value", lambda volume: asked.append(volume) or background_value(volume))
    make_image(tmp_path / "f.nii")
    make_image(tmp_path / "m.nii", deform=2.0)
    pair = {"fixed": str(tmp_path / "f.nii"), "moving": str(tmp_path / "m.nii")}
    evaluator = register(tmp_path / "out", WavyNetwork(), pair)
    assert len(asked) == 2
    assert not any("foreground" in key for key in evaluator.state.batch[0])

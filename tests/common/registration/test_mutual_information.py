"""The climb to the maximum of mutual information: how long its steps are, for every kind of map."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.spatial.transform import Rotation

from common.geometry.alignment import mean_distance
from common.registration.mutual_information import Likeness, look_at, prepare
from tests.common.registration.head import CENTRE, brain_points, head

pytest.importorskip("SimpleITK")


def about_the_centre(*scales: float) -> np.ndarray:
    """World affine that scales along each axis and leaves the head's centre where it is."""
    matrix = np.diag([*scales, 1.0])
    matrix[:3, 3] = CENTRE - matrix[:3, :3] @ CENTRE
    return matrix


def likeness(truth: np.ndarray, spacing: float = 8.0) -> Likeness:
    """Of a brain and the same brain behind a map of the world."""
    fixed = head(skull=False)
    moving = MetaTensor(fixed.as_tensor(), affine=torch.from_numpy(truth @ fixed.affine.numpy()))
    return Likeness(*(prepare(look_at(image), spacing, 20 * spacing) for image in (fixed, moving)))


def test_a_stretch_is_climbed_to_where_the_shift_is_right_already():
    """Then the shift's derivative is zero and the whole step is the stretch's: of millimetres, not of multiples."""
    truth = about_the_centre(1.1, 1.0, 0.9)
    pair = likeness(truth)
    found = pair.maximum("affine", np.eye(4), 8.0, 0.1)
    assert mean_distance(np.eye(4), truth, brain_points()) > 3
    assert mean_distance(found, truth, brain_points()) < 2.5
    assert pair.value(found) > pair.value(np.eye(4)) + 0.1


@pytest.mark.parametrize("kind", ["rigid", "similarity", "affine"])
def test_a_step_moves_the_anatomy_by_its_millimetres(kind: str):
    """A climb may not go further than its steps: 60 of a hundredth of a millimetre."""
    truth = about_the_centre(1.1, 1.0, 0.9)
    truth[:3, :3] = truth[:3, :3] @ Rotation.from_euler("z", 10, degrees=True).as_matrix()
    truth[:3, 3] = CENTRE - truth[:3, :3] @ CENTRE
    moved = mean_distance(likeness(truth).maximum(kind, np.eye(4), 0.01, 0.001), np.eye(4), brain_points())
    assert 0.1 < moved < 1.5

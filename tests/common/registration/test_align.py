"""Alignment of a synthetic head from every kind of wrong header. About three seconds of one core a pair."""

import json

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.spatial.transform import Rotation

from common.errors import InputError
from common.geometry.affines import transform_points
from common.registration.align import align
from tests.common.registration.head import CENTRE, brain_points, head

pytest.importorskip("SimpleITK")


def pose(degrees: tuple[float, float, float] = (0, 0, 0), shift=(0, 0, 0), scale: float = 1.0) -> np.ndarray:
    """World affine: Euler angles and scale about the head's centre, then a shift in millimetres."""
    matrix = np.eye(4)
    matrix[:3, :3] = scale * Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = CENTRE + shift - matrix[:3, :3] @ CENTRE
    return matrix


def error(matrix: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance inside of the brain, in millimetres of the moving image."""
    points = brain_points()
    apart = transform_points(matrix, points) - transform_points(truth, points)
    return float(np.linalg.norm(apart, axis=1).mean())


def placed(image: MetaTensor, world: np.ndarray) -> MetaTensor:
    """The image with its header moved by a world affine."""
    return MetaTensor(image.as_tensor(), affine=torch.from_numpy(world @ image.affine.numpy()))


def zero_origin(code: str) -> np.ndarray:
    """The shift that a missing origin is."""
    matrix = np.eye(4)
    matrix[:3, 3] = -head(code=code).affine.numpy()[:3, 3]
    return matrix


#: Name, pose, and what else differs in the fixed and in the moving image.
PAIRS = [
    ("turned", pose((30, -10, 20), (20, -15, 30)), {}, {"code": "LIA"}),
    ("far and larger", pose((0, 5, 0), (80, -70, 80), 1.25), {"code": "LPS"}, {"code": "SPL"}),
    ("no origin", zero_origin("PIR"), {}, {"code": "PIR"}),
    ("another contrast, 45 degrees", pose((0, 0, 45), (0, 20, 0), 0.85), {}, {"contrast": "t2", "code": "ASL"}),
    ("thick slices without the top", pose((8, 12, -15), (0, 30, -50)), {}, {"spacing": (3, 3, 7), "top": 50}),
    ("the fixed one without its top", pose((-10, 0, 10), (-20, 0, 40), 0.9), {"top": 50}, {"contrast": "t2"}),
    ("brains", pose((20, 20, 0), (10, 10, 10), 1.1), {"skull": False}, {"skull": False, "code": "RIP"}),
]


@pytest.mark.parametrize(("truth", "fixed", "moving"), [p[1:] for p in PAIRS], ids=[p[0] for p in PAIRS])
def test_the_pose_is_found(truth: np.ndarray, fixed: dict, moving: dict):
    found = align(head(**fixed), head(pose=truth, **moving))
    assert error(found.matrix, truth) < 3
    assert found.kind == "affine"
    assert found.implausible == ()
    assert found.mutual_information["after"] > found.mutual_information["before"]
    assert found.overlap > 0.9
    scaled = abs(np.linalg.det(truth[:3, :3]) - 1) > 0.1
    assert found.from_rigid_mm is not None and (found.from_rigid_mm > 3) == scaled


def test_rigid_keeps_the_size():
    found = align(head(), head(pose=pose((10, 0, 20), (5, 5, 5)), contrast="t2"), mode="rigid")
    assert found.pose.scales == pytest.approx((1, 1, 1))
    assert error(found.matrix, pose((10, 0, 20), (5, 5, 5))) < 3
    figures = json.loads(json.dumps(found.figures()))
    assert figures["kind"] == "rigid" and figures["from_rigid_mm"] is None  # no affine was looked for
    assert set(figures) == {
        *("matrix", "kind", "start", "word", "mutual_information", "overlap", "pose", "implausible", "seconds"),
        "from_rigid_mm",
    }


def test_aligned_images_are_left_alone():
    found = align(head(), head(pose=pose((1, 0, 1), (1, 0, 0)), contrast="t2", code="LPS"))
    assert np.array_equal(found.matrix, np.eye(4))
    assert found.kind == "none"
    assert found.word.startswith("aligned already: the best affine map moves the images by")
    assert found.from_rigid_mm is not None and found.from_rigid_mm < 1.5


def test_the_same_bits_on_any_number_of_threads():
    SimpleITK = pytest.importorskip("SimpleITK")
    before, found = SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
            moving = head(pose=pose((15, 0, -20), (10, 0, 20), 1.1), code="SAL", contrast="t2")
            found.append(align(head(), moving, mode="affine").matrix)
    finally:
        SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    assert np.array_equal(found[0], found[1])


def test_masks_say_where_to_look():
    """The scalp of the moving head is another's: with masks only the brain counts."""
    brain = head(skull=False).as_tensor()
    mask = MetaTensor((brain > 0).float())
    moving = MetaTensor(torch.where(brain > 0, brain, head().as_tensor().roll(9, 2)), affine=head().affine)
    found = align(head(), placed(moving, pose((5, 0, 10))), "affine", mask, mask)
    assert error(found.matrix, pose((5, 0, 10))) < 3


def test_one_hot_voxel_and_another_background_change_nothing():
    truth = pose((15, 0, -20), (10, 0, 20))
    moving = head(pose=truth) - 1024.0
    moving[0, 3, 3, 3] = 60000
    assert error(align(head(), moving).matrix, truth) < 3


def test_small_animals():
    """A tenth of the size: the grids follow."""
    small = np.diag([0.1, 0.1, 0.1, 1.0])
    truth = small @ pose((20, 0, 10), (30, 0, 0)) @ np.linalg.inv(small)
    fixed, moving = head(), head(code="PSR")
    fixed.affine, moving.affine = (
        torch.from_numpy(m @ i.affine.numpy()) for m, i in ((small, fixed), (truth @ small, moving))
    )
    matrix = align(fixed, moving).matrix
    assert error(np.linalg.inv(small) @ matrix @ small, np.linalg.inv(small) @ truth @ small) < 3


def test_images_with_nothing_in_common_are_flagged():
    noise = head(skull=False)
    generator = torch.Generator().manual_seed(0)
    noise = MetaTensor(torch.rand(noise.shape, generator=generator), affine=noise.affine)
    found = align(head(), noise)
    assert any(reason.startswith("the images have little in common") for reason in found.implausible)


def test_switched_off():
    found = align(head(), head(pose=pose(shift=(100, 0, 0))), mode="none")
    assert (found.kind, found.word, found.mutual_information) == ("none", "alignment is switched off", {})
    assert np.array_equal(found.matrix, np.eye(4))


def test_what_is_no_mode_and_no_mask():
    with pytest.raises(InputError, match="expected one of auto, rigid, affine, none, got 'nonsense'"):
        align(head(), head(), mode="nonsense")
    with pytest.raises(InputError, match=r"moving mask: expected the image's shape \(\d+, \d+, \d+\), got \(2, 2, 2\)"):
        align(head(), head(), moving_mask=MetaTensor(torch.ones(1, 2, 2, 2)))

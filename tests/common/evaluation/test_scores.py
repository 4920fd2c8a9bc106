import math

import numpy as np
import pytest

from common.errors import InputError
from common.evaluation import evaluate_pair
from common.evaluation.protocol import protocol
from common.evaluation.scores import as_labels, score_names
from common.metrics.definitions import EVALUATION, SHARED

AFFINE = np.diag([-2.0, 2.0, 2.0, 1.0])


def blocks() -> np.ndarray:
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[2:8, 3:9, 3:9] = 1
    labels[4:6, 5:7, 5:7] = 2
    return labels


def test_identity_on_equal_labels_is_perfect() -> None:
    record = evaluate_pair(np.zeros((3, 12, 12, 12), np.float32), AFFINE, blocks(), blocks())
    scores = record["scores"]
    for name in ("dice_nearest", "dice_linear"):
        assert scores[name] == 1
    for name in ("hd95_mm", "assd_mm", "topology_change", "topology_changed_percent", "folds_percent"):
        assert scores[name] == 0
    assert sorted(record["structures"]) == [1, 2]
    assert set(scores) <= set(SHARED | EVALUATION)


def test_a_field_that_undoes_a_shift() -> None:
    moving = np.roll(blocks(), 1, axis=0)
    ddf = np.zeros((3, 12, 12, 12), np.float32)
    before = evaluate_pair(ddf, AFFINE, blocks(), moving)["scores"]
    ddf[0] = 1
    after = evaluate_pair(ddf, AFFINE, blocks(), moving)["scores"]
    assert before["dice_nearest"] < 0.9 and after["dice_nearest"] == 1
    assert before["hd95_mm"] == 2 and before["hd95_voxel"] == 1 and after["hd95_mm"] == 0


def test_anisotropic_voxels_get_their_own_voxel_distance() -> None:
    affine = np.diag([3.0, 1.0, 1.0, 1.0])
    moving = np.roll(blocks(), 1, axis=0)
    row = evaluate_pair(np.zeros((3, 12, 12, 12), np.float32), affine, blocks(), moving)["structures"][2]
    assert row["hd95_mm"] == 3 and row["hd95_voxel"] == 1


def test_moving_labels_on_another_grid() -> None:
    fixed = blocks()
    moving, moving_affine = fixed[::-1].copy(), AFFINE @ np.diag([-1.0, 1, 1, 1])
    moving_affine[:3, 3] = AFFINE[:3, :3] @ [11, 0, 0]
    record = evaluate_pair(np.zeros((3, 12, 12, 12), np.float32), AFFINE, fixed, moving, moving_affine)
    assert record["scores"]["dice_nearest"] == 1


def test_structures_chosen_and_absent() -> None:
    ddf = np.zeros((3, 12, 12, 12), np.float32)
    record = evaluate_pair(ddf, AFFINE, blocks(), blocks(), structures=[2, 9])
    assert list(record["structures"]) == [2, 9]
    assert math.isnan(record["structures"][9]["dice_nearest"]) and math.isnan(record["structures"][9]["hd95_mm"])
    assert record["scores"]["dice_nearest"] == 1


def test_without_labels_there_is_regularity_and_landmarks() -> None:
    points = np.array([[3.0, 3, 3], [5, 5, 5]])
    ddf = np.zeros((3, 12, 12, 12), np.float32)
    ddf[1] = 1
    record = evaluate_pair(ddf, AFFINE, landmarks=(points, points + np.array([0, 1, 0])))
    assert record["structures"] == {} and "dice_nearest" not in record["scores"]
    assert record["scores"]["landmark_error_mm"] == 0 and record["scores"]["landmark_error_initial_mm"] == 2
    assert set(record["scores"]) <= set(SHARED | EVALUATION)
    assert score_names([record, {"scores": {"further": 1}}])[-1] == "further"


def test_labels_of_any_type() -> None:
    assert as_labels(blocks(), "fixed").dtype == np.uint8
    assert as_labels(blocks().astype(np.float32) * 300, "fixed").max() == 600
    for bad in (np.array([0.5]), np.array([-1.0]), np.array([70000])):
        with pytest.raises(
            InputError, match="the moving label map must hold whole numbers from 0 to 65535, got values"
        ):
            as_labels(bad, "moving")


def test_bad_input() -> None:
    ddf = np.zeros((3, 12, 12, 12), np.float32)
    with pytest.raises(InputError, match="labels are needed for both images"):
        evaluate_pair(ddf, AFFINE, blocks())
    with pytest.raises(InputError, match=r"labels' shape \(6, 12, 12\) is not the field's \(12, 12, 12\)"):
        evaluate_pair(ddf, AFFINE, blocks()[:6], blocks())


def test_the_protocol_names_versions_and_structures() -> None:
    facts = protocol({3: "Left-Lateral-Ventricle"}, threads=1)
    assert facts["structures"] == {"3": "Left-Lateral-Ventricle"} and facts["threads"] == 1
    assert {"python", "torch", "monai", "numpy", "scipy"} <= set(facts["versions"])

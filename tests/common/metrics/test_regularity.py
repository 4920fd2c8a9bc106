import numpy as np
import pytest
import torch
from scipy import ndimage

from common.errors import InputError
from common.metrics import field_regularity, regularity, sd_log_jacobian_learn2reg
from common.spatial import jacobian_determinant, non_diffeomorphic_volume
from tests.conftest import smooth_ddf

SHAPE = (12, 10, 11)


def linear_field(scale: tuple[float, float, float]) -> np.ndarray:
    axes = np.meshgrid(*[np.arange(n, dtype=np.float32) for n in SHAPE], indexing="ij")
    return np.stack([s * a for s, a in zip(scale, axes, strict=True)]).astype(np.float32)


def test_the_identity_is_regular() -> None:
    result = field_regularity(np.zeros((3, *SHAPE), np.float32))
    assert result.pop("jacobian_minimum") == 1
    assert all(value == pytest.approx(0, abs=1e-12) for value in result.values())


def test_a_mirror_folds_everywhere() -> None:
    result = field_regularity(linear_field((-1.5, 0, 0)))
    assert result["folds_percent"] == 100
    assert result["folded_voxels"] == np.prod(SHAPE)
    assert result["jacobian_minimum"] == pytest.approx(-0.5)
    # Every cell has volume -0.5.
    assert result["non_diffeomorphic_volume_percent"] == pytest.approx(50, abs=1e-4)


def test_mask_limits_what_counts() -> None:
    field = np.zeros((3, *SHAPE), np.float32)
    field[0, 6, 5, 5] = 3.0
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:3] = 1
    result = field_regularity(field, mask)
    assert result["folds_percent"] > 0 and result["folds_mask_percent"] == 0 and result["sd_log_jacobian"] == 0


def test_learn2reg_definition_against_correlation() -> None:
    field = smooth_ddf(SHAPE, 3.0)
    array = field[0].double().numpy()
    jacobian = np.empty((3, 3, *SHAPE))
    for component in range(3):
        for axis in range(3):
            slope = ndimage.correlate1d(array[component], [-0.5, 0, 0.5], axis=axis, mode="constant")
            jacobian[component, axis] = slope + (component == axis)
    inner = jacobian[:, :, 2:-2, 2:-2, 2:-2]
    determinant = np.linalg.det(np.moveaxis(inner, (0, 1), (-2, -1)))
    expected = np.log((determinant + 3).clip(1e-9, 1e9)).std()
    assert sd_log_jacobian_learn2reg(jacobian_determinant(field.double())) == pytest.approx(expected, rel=1e-10)


def test_slabs_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    field = smooth_ddf(SHAPE, 12.0)
    whole = float(non_diffeomorphic_volume(field))
    assert whole > 0
    inner = (SHAPE[0] - 2) * (SHAPE[1] - 2) * (SHAPE[2] - 2)
    monkeypatch.setattr(regularity, "_SLAB", 3)
    result = field_regularity(field[0].numpy())
    assert result["non_diffeomorphic_volume_percent"] == pytest.approx(100 * whole / inner)


@pytest.mark.parametrize(
    ("field", "mask", "text"),
    [
        (np.zeros((2, 8, 8, 8)), None, r"field of shape \(3, X, Y, Z\) with 5 voxels or more an axis"),
        (np.zeros((3, 8, 8, 4)), None, "5 voxels or more"),
        (np.full((3, 8, 8, 8), np.nan), None, "not finite"),
        (np.zeros((3, 8, 8, 8)), np.ones((8, 8, 9)), r"mask's shape \(8, 8, 9\) is not the field's \(8, 8, 8\)"),
    ],
)
def test_bad_input(field: np.ndarray, mask: np.ndarray | None, text: str) -> None:
    with pytest.raises(InputError, match=text):
        field_regularity(field, mask)


def test_float64_and_non_contiguous_arrays_are_accepted() -> None:
    field = torch.zeros(3, 6, 6, 6).double().numpy().transpose(0, 3, 2, 1)
    assert field_regularity(field)["folds_percent"] == 0

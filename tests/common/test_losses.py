import pytest
import torch
from monai.losses import DiceLoss, DiffusionLoss, LocalNormalizedCrossCorrelationLoss

from common.losses import GradientLoss, LocalCorrelationLoss, SoftDiceLoss
from tests.conftest import smooth_ddf


@pytest.mark.parametrize("width", [3, 5, 7, 9, 11])
def test_local_correlation_equals_monai_in_value_and_gradient(width: int) -> None:
    pred = torch.rand(2, 1, 14, 11, 13, dtype=torch.float64, requires_grad=True)
    target = torch.rand(2, 1, 14, 11, 13, dtype=torch.float64)
    expected = LocalNormalizedCrossCorrelationLoss(kernel_size=width)(pred, target)
    (expected_gradient,) = torch.autograd.grad(expected, pred)
    loss = LocalCorrelationLoss(width)(pred, target)
    (gradient,) = torch.autograd.grad(loss, pred)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-8, atol=1e-14)


def test_local_correlation_passes_gradcheck_and_counts_flat_windows_as_unrelated() -> None:
    pred = torch.rand(1, 1, 5, 4, 6, dtype=torch.float64, requires_grad=True)
    target = torch.rand(1, 1, 5, 4, 6, dtype=torch.float64)
    loss = LocalCorrelationLoss(3)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), pred)
    flat = torch.zeros(1, 1, 9, 9, 9)
    assert loss(flat, torch.rand_like(flat)) == 0


def test_local_correlation_does_not_see_a_change_of_scale() -> None:
    image = torch.rand(1, 1, 12, 12, 12)
    assert LocalCorrelationLoss(3)(0.5 * image, image) == pytest.approx(-1.0, abs=1e-3)
    assert LocalCorrelationLoss(3)(-2.0 * image, image) == pytest.approx(-1.0, abs=1e-3)


def test_local_correlation_refuses_even_windows_and_unequal_shapes() -> None:
    with pytest.raises(ValueError, match="odd kernel_size, got 4"):
        LocalCorrelationLoss(4)
    with pytest.raises(ValueError, match="expects one shape"):
        LocalCorrelationLoss(3)(torch.rand(1, 1, 4, 4, 4), torch.rand(1, 1, 4, 4, 5))


def test_gradient_loss_of_a_linear_field_and_of_voxelmorph_by_hand() -> None:
    x = torch.arange(6.0).view(1, 1, 6, 1, 1).expand(1, 3, 6, 5, 4)
    assert GradientLoss()(2.0 * x) == pytest.approx(4.0 / 3.0)  # one axis of three has slope 2
    field = torch.randn(1, 3, 6, 5, 7)
    dx = field[:, :, 1:] - field[:, :, :-1]
    dy = field[:, :, :, 1:] - field[:, :, :, :-1]
    dz = field[..., 1:] - field[..., :-1]
    by_hand = ((dx**2).mean() + (dy**2).mean() + (dz**2).mean()) / 3.0
    assert GradientLoss(factor=2.0)(field) == pytest.approx(2.0 * float(by_hand), rel=1e-6)


def test_gradient_loss_is_near_monai_diffusion_on_smooth_fields_but_not_the_same_scheme() -> None:
    field = smooth_ddf((24, 24, 24))
    # MONAI averages the sum over axes over components as well as voxels: three axes summed, ours are averaged.
    ratio = float(DiffusionLoss()(field)) / (3.0 * float(GradientLoss()(field)))
    assert 0.8 < ratio < 1.0


def test_soft_dice_equals_monai_on_binary_maps() -> None:
    label_a, label_b = torch.randint(0, 4, (2, 2, 1, 6, 6, 6))
    loss = SoftDiceLoss([1, 2, 3])
    a, b = (loss.one_hot(label, loss.choose()) for label in (label_a, label_b))
    expected = DiceLoss(smooth_nr=0.0, smooth_dr=1e-12)(a, b)  # 1 - mean Dice
    assert float(loss(a, b)) == pytest.approx(float(expected) - 1.0, abs=1e-6)


def test_soft_dice_draws_classes_in_training_only_and_repeats_with_the_seed() -> None:
    loss = SoftDiceLoss(range(1, 32), classes_per_step=8).train()
    torch.manual_seed(3)
    first = loss.choose()
    torch.manual_seed(3)
    assert torch.equal(first, loss.choose())
    assert len(first) == 8 and len(set(first.tolist())) == 8
    assert len(loss.eval().choose()) == 31


def test_soft_dice_of_an_absent_class_is_zero_not_nan() -> None:
    empty = torch.zeros(1, 1, 3, 3, 3)
    assert float(SoftDiceLoss([1])(empty, empty)) == 0.0


def test_epsilon_on_the_product_is_the_authors_formula() -> None:
    """VoxelMorph's NCC, written out with plain convolutions of ones."""
    first, second = 0.001 * torch.rand(1, 1, 12, 13, 14), 0.01 * torch.rand(1, 1, 12, 13, 14)
    ones, volume = torch.ones(1, 1, 9, 9, 9, dtype=torch.float64), 9**3

    def total(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv3d(x.double(), ones, padding=4)

    cross = total(first * second) - total(first) * total(second) / volume
    variances = [total(x * x) - total(x) ** 2 / volume for x in (first, second)]
    expected = -(cross**2 / (variances[0] * variances[1] + 1e-5)).mean()
    found = LocalCorrelationLoss(9, epsilon_on_product="true")(first, second)
    assert float(found) == pytest.approx(float(expected), rel=1e-3)
    assert float(LocalCorrelationLoss(9)(first, second)) != pytest.approx(float(expected), rel=1e-2)

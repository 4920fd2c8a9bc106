import pytest
import torch

from common.losses import GradientLoss, LocalCorrelationLoss, SoftDiceLoss
from common.spatial import warp
from common.training.objective import field_error
from tests.common.training.tiny import TinyNetwork, batch_of, objective


def test_the_objective_is_the_weighted_sum_of_its_terms() -> None:
    torch.manual_seed(0)
    batch, network = batch_of(), TinyNetwork()
    fields = network.fields(batch["image"])
    loss = objective(image_weight=2.0, label_weight=3.0, smooth_weight=0.5)
    terms = loss(fields, batch)
    total = 2.0 * terms["image"] + 3.0 * terms["label"] + 0.5 * terms["smooth"]
    torch.testing.assert_close(terms["loss"], total)
    moved = warp(batch["moving"], fields["ddf"])
    torch.testing.assert_close(terms["image"], LocalCorrelationLoss(5)(moved, batch["fixed"]))
    one_hot = SoftDiceLoss.one_hot(batch["moving_label"], torch.tensor([1]))
    fixed = SoftDiceLoss.one_hot(batch["fixed_label"], torch.tensor([1]))
    torch.testing.assert_close(terms["label"], SoftDiceLoss([1])(warp(one_hot, fields["ddf"]), fixed))
    torch.testing.assert_close(terms["smooth"], GradientLoss()(fields["velocity"]))


def test_terms_of_weight_zero_are_not_computed_and_smoothness_falls_back_to_the_ddf() -> None:
    batch, network = batch_of(), TinyNetwork()
    fields = network.fields(batch["image"])
    terms = objective(image_weight=0.0)(fields, batch)
    assert set(terms) == {"loss", "label", "smooth"}
    only = objective(label_weight=0.0)({"ddf": fields["ddf"]}, {k: batch[k] for k in ("moving", "fixed")})
    torch.testing.assert_close(only["smooth"], GradientLoss()(fields["ddf"]))
    assert set(objective(image_weight=0.0, label_weight=0.0)(fields, batch)) == {"loss", "smooth"}


def test_field_error_is_the_mean_distance_over_the_mask_of_known_samples() -> None:
    true = torch.zeros(2, 3, 4, 4, 4)
    ddf = true.clone()
    ddf[:, 0, :2], ddf[:, 1, :2] = 3.0, 4.0  # five voxels off in one half
    mask = torch.zeros(2, 1, 4, 4, 4, dtype=torch.bool)
    mask[:, :, :2] = True
    assert float(field_error(ddf, true, mask, torch.tensor([1.0, 0.0]))) == pytest.approx(2.5, abs=1e-3)
    assert float(field_error(ddf, true, mask, torch.ones(2))) == pytest.approx(5.0, abs=1e-3)
    assert float(field_error(ddf, true, ~mask, torch.ones(2))) == pytest.approx(0.0, abs=2e-3)
    assert float(field_error(ddf, true, mask, torch.zeros(2))) == 0.0
    exact = true.requires_grad_()
    field_error(exact, true.detach(), mask, torch.ones(2)).backward()
    assert exact.grad is not None and torch.isfinite(exact.grad).all()  # also where both agree


def test_the_objective_adds_the_field_term_where_a_field_is_known() -> None:
    batch, network = batch_of(), TinyNetwork()
    batch |= {"true_ddf": torch.ones(1, 3, 16, 16, 16), "true_known": torch.ones(1)}
    fields = network.fields(batch["image"])
    terms = objective(field_weight=0.5)(fields, batch)
    expected = field_error(fields["ddf"], batch["true_ddf"], batch["fixed"] > 0.02, batch["true_known"])
    torch.testing.assert_close(terms["field"], expected)
    without = objective()(fields, batch)
    torch.testing.assert_close(terms["loss"], without["loss"] + 0.5 * expected)
    assert "field" not in without

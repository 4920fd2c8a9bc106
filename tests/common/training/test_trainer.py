from collections.abc import Iterator
from typing import Any

import pytest
import torch
from ignite.exceptions import NotComputableError
from torch.nn.functional import avg_pool3d

from common.losses import GradientLoss, LocalCorrelationLoss, SoftDiceLoss
from common.spatial import resize_ddf, warp
from common.spatial.passes import further_pass
from common.training.fine import left_to_do
from common.training.objective import FieldsForward, Objective, field_error
from common.training.trainer import RegistrationTrainer, WarpedDice, label_dice
from tests.common.training.tiny import TinyNetwork


class Repeated:
    """The same batch over and over."""

    def __init__(self, batch: dict[str, Any], length: int) -> None:
        self.batch, self.length = batch, length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter([self.batch] * self.length)


def batch_of(seed: int = 0, shift: int = 2) -> dict[str, torch.Tensor]:
    """A blob and the same blob moved by ``shift`` voxels."""
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
    return Objective(
        image_loss=LocalCorrelationLoss(5),
        label_loss=SoftDiceLoss([1]),
        smooth_loss=GradientLoss(),
        **{"smooth_weight": 0.1, **options},
    )


def trainer_for(network: TinyNetwork, batch: dict[str, Any], steps: int, **options: Any) -> RegistrationTrainer:
    return RegistrationTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=Repeated(batch, steps),
        network=FieldsForward(network),
        optimizer=torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=3e-3),
        loss_function=options.pop("loss", objective()),
        **options,
    )


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


def test_training_aligns_a_pair() -> None:
    torch.manual_seed(1)
    network, batch = TinyNetwork(), batch_of()
    before = float(objective()(network.fields(batch["image"]), batch)["label"])
    trainer = trainer_for(network, batch, 60)
    trainer.run()
    after = float(objective()(network.fields(batch["image"]), batch)["label"])
    assert after < before - 0.1
    assert set(trainer.state.output) == {"loss", "image", "label", "smooth", "gradient"}


def test_a_second_pass_trains_the_way_on_from_the_networks_own_field() -> None:
    torch.manual_seed(0)
    network, batch = TinyNetwork(), batch_of()
    forward = FieldsForward(network, second_pass=1.0)
    fields = forward.train()(batch["image"])
    expected = further_pass(network.fields, batch["image"], network(batch["image"]).detach())
    torch.testing.assert_close(fields["ddf"], expected["ddf"])
    fields["ddf"].sum().backward()
    gradient = network.second.weight.grad
    network.zero_grad()
    expected["ddf"].sum().backward()
    torch.testing.assert_close(gradient, network.second.weight.grad)  # nothing flows through the first pass
    torch.testing.assert_close(forward.eval()(batch["image"])["ddf"], network(batch["image"]))
    drawn = [torch.equal(FieldsForward(network, 0.5)(batch["image"])["ddf"], fields["ddf"]) for _ in range(60)]
    assert 15 < sum(drawn) < 45


def test_the_coarse_pass_of_a_fine_batch_goes_first() -> None:
    torch.manual_seed(0)
    network, batch = TinyNetwork(), batch_of()
    fine = {**batch, "window": torch.tensor([[2, 0, 5]]), "window_size": torch.tensor([[8, 12, 10]])}
    trainer = trainer_for(network, fine, 1)
    with torch.no_grad():
        coarse = resize_ddf(network(avg_pool3d(batch["image"], 2)), (16, 16, 16))
    torch.testing.assert_close(trainer._left_to_do(fine), left_to_do(fine, coarse))
    start = network.second.weight.detach().clone()
    trainer.run()
    assert trainer.bad_steps == 0 and not torch.equal(network.second.weight, start)


def test_a_teachers_field_stands_in_where_no_field_is_known() -> None:
    torch.manual_seed(0)
    teacher, network, batch = TinyNetwork(), TinyNetwork(), batch_of()
    loss = objective(image_weight=0.0, label_weight=0.0, smooth_weight=0.0, field_weight=1.0)
    trainer = trainer_for(network, batch, 1, teacher=teacher, loss=loss)
    torch.testing.assert_close(trainer._taught(batch)["true_ddf"], teacher(batch["image"]))
    known = {"true_ddf": torch.ones(1, 3, 16, 16, 16), "true_known": torch.ones(1)}
    assert torch.equal(trainer._taught({**batch, **known})["true_ddf"], known["true_ddf"])
    trainer.run()
    assert trainer.state.output["field"] > 0 and not any(p.requires_grad for p in teacher.parameters())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_and_clipping(precision: str) -> None:
    network = TinyNetwork()
    trainer = trainer_for(network, batch_of(), 2, precision=precision, max_gradient_norm=1e-12)
    start = [p.detach().clone() for p in network.parameters()]
    trainer.run()
    assert all(p.dtype == torch.float32 for p in network.parameters())
    assert trainer.state.output["gradient"] > 1e-12  # what is logged is the norm before clipping
    change = max(float((a - b).abs().max()) for a, b in zip(start, network.parameters(), strict=True))
    assert change < 1e-2


def test_a_step_without_a_finite_gradient_changes_nothing() -> None:
    network, batch = TinyNetwork(), batch_of()
    batch["image"][0, 0, 3, 3, 3] = float("nan")
    start = [p.detach().clone() for p in network.parameters()]
    trainer = trainer_for(network, batch, 3, max_bad_steps=5)
    trainer.run()
    assert trainer.bad_steps == 3
    assert all(torch.equal(a, b) for a, b in zip(start, network.parameters(), strict=True))


def test_too_many_bad_steps_end_the_run_with_advice() -> None:
    batch = batch_of()
    batch["image"][0, 0, 3, 3, 3] = float("nan")
    trainer = trainer_for(TinyNetwork(), batch, 9, max_bad_steps=2)
    with pytest.raises(FloatingPointError, match=r"not finite in 3 steps in a row.*lower learning_rate"):
        trainer.run()


def test_label_dice_by_hand_and_the_metric() -> None:
    moved = torch.tensor([1, 1, 2, 0, 0, 0]).view(1, 2, 3)
    fixed = torch.tensor([1, 2, 2, 0, 0, 3]).view(1, 2, 3)
    dice = label_dice(moved, fixed, [1, 2, 3, 4])
    torch.testing.assert_close(dice[:3], torch.tensor([2 / 3, 2 / 3, 0.0], dtype=torch.float64))
    assert dice[3].isnan()
    metric = WarpedDice([1])
    with pytest.raises(NotComputableError):
        metric.compute()
    batch = batch_of(shift=0)
    metric.update((torch.zeros(1, 3, 16, 16, 16), torch.cat([batch["moving_label"], batch["fixed_label"]], 1)))
    assert metric.compute() == 1.0


def test_the_metric_follows_the_field() -> None:
    batch, field = batch_of(shift=2), torch.zeros(1, 3, 16, 16, 16)
    field[:, 0] = 2.0
    metric = WarpedDice([1])
    metric.update((field, torch.cat([batch["moving_label"], batch["fixed_label"]], 1)))
    assert metric.compute() == 1.0

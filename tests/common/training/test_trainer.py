import logging
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from common.errors import InputError
from common.training.trainer import RegistrationTrainer, precision_for
from common.training.views import FieldsForward, Preparation
from tests.common.training.tiny import TinyNetwork, batch_of, objective


class Repeated:
    """The same batch over and over."""

    def __init__(self, batch: dict[str, Any], length: int) -> None:
        self.batch, self.length = batch, length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter([self.batch] * self.length)


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


def test_training_aligns_a_pair() -> None:
    torch.manual_seed(1)
    network, batch = TinyNetwork(), batch_of()
    before = float(objective()(network.fields(batch["image"]), batch)["label"])
    trainer = trainer_for(network, batch, 60)
    trainer.run()
    after = float(objective()(network.fields(batch["image"]), batch)["label"])
    assert after < before - 0.1
    assert set(trainer.state.output) == {"loss", "image", "label", "smooth", "gradient"}


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
    with pytest.raises(InputError, match=r"not finite in 3 steps in a row.*lower learning_rate"):
        trainer.run()


def test_a_fine_batch_is_prepared_by_the_networks_own_coarse_pass() -> None:
    torch.manual_seed(0)
    network = TinyNetwork()
    fine = {**batch_of(), "window": torch.tensor([[2, 0, 5]]), "window_size": torch.tensor([[8, 12, 10]])}
    start = network.second.weight.detach().clone()
    trainer = trainer_for(network, fine, 1)
    trainer.run()
    assert trainer.bad_steps == 0 and not torch.equal(network.second.weight, start)


def test_a_teacher_gives_the_field_term() -> None:
    torch.manual_seed(0)
    teacher, network = TinyNetwork(), TinyNetwork()
    loss = objective(image_weight=0.0, label_weight=0.0, smooth_weight=0.0, field_weight=1.0)
    trainer = trainer_for(network, batch_of(), 1, preparation=Preparation(teacher=teacher), loss=loss)
    trainer.run()
    assert trainer.state.output["field"] > 0 and not any(p.requires_grad for p in teacher.parameters())


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("float32", "cpu", torch.float32),
        ("bfloat16", "cpu", torch.bfloat16),
        ("float16", "cpu", torch.float32),
        ("float16", "cuda", torch.float16),
        ("bfloat16", "cuda:1", torch.bfloat16),
    ],
)
def test_the_precision_fits_the_device(
    precision: str, device: str, expected: torch.dtype, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert precision_for(precision, torch.device(device)) is expected
    said = "precision float16 is for GPUs: on the CPU this run takes float32" in caplog.text
    assert said is (precision == "float16" and device == "cpu")


@pytest.mark.parametrize("precision", ["half", "float64", "Tensor"])
def test_other_precisions_are_refused(precision: str) -> None:
    with pytest.raises(InputError, match=f"one of float32, bfloat16, float16, got '{precision}'"):
        trainer_for(TinyNetwork(), batch_of(), 1, precision=precision)

import json
import logging
from pathlib import Path

import pytest
import torch
from ignite.exceptions import NotComputableError

from common.training.log import TrainingLog
from common.training.run_folder import RunFolder
from common.training.validation import Validation, WarpedDice
from common.training.weights import read_weights
from tests.common.training.engines import Evaluator, engine
from tests.common.training.tiny import batch_of


def test_best_weights_and_early_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network, run = torch.nn.Linear(2, 1), engine()
    folder = RunFolder(str(tmp_path))
    validation = Validation(Evaluator([0.2, 0.6, 0.5, 0.4, 0.9]), 1, network, folder, patience=2)
    validation.attach(run)
    with caplog.at_level(logging.INFO, "common.training.validation"):
        run.run([0.0], max_epochs=5)
    assert caplog.messages[2] == "epoch 3: val_dice 0.5000 (best so far 0.6000)"
    assert caplog.messages[-1] == f"best score 0.6000 in epoch 2: {folder.best}"
    assert run.state.epoch == 4  # two validations without progress after the second
    assert json.loads(folder.best_facts.read_text()) == {"val_dice": 0.6, "epoch": 2, "step": 2}
    assert torch.equal(read_weights(folder.best)["weight"], network.weight)
    other = Validation(Evaluator([]), 1, network, folder)
    other.load_state_dict(validation.state_dict())
    assert (other.best, other.best_epoch, other.waited) == (0.6, 2, 2)


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    run = engine()
    validation = Validation(Evaluator([0.2]), 1, torch.nn.Linear(2, 1), RunFolder(str(tmp_path), rank=1))
    validation.attach(run)
    run.run([0.0], max_epochs=1)
    assert validation.best == 0.2 and not list(tmp_path.iterdir())


def test_a_validation_sends_score_and_picture_to_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    evaluator, run, folder = Evaluator([0.5]), engine(), RunFolder(str(tmp_path))
    evaluator.state.output = {"image": torch.rand(1, 2, 6, 5, 4), "pred": torch.zeros(1, 3, 6, 5, 4)}
    log = TrainingLog(folder)
    log.attach(run)
    Validation(evaluator, 1, torch.nn.Linear(1, 1), folder, log=log).attach(run)
    run.run([1.0], max_epochs=1)
    events = EventAccumulator(str(folder.tensorboard), size_guidance={"images": 0}).Reload()
    assert events.Tags()["images"] == ["moving, fixed, moved, difference"]
    assert "val_dice" in events.Tags()["scalars"]


def test_the_metric_follows_the_field_and_is_a_mean_over_pairs_and_classes() -> None:
    batch, field = batch_of(shift=2), torch.zeros(1, 3, 16, 16, 16)
    labels = torch.cat([batch["moving_label"], batch["fixed_label"]], 1)
    metric = WarpedDice([1, 2])
    with pytest.raises(NotComputableError):
        metric.compute()
    metric.update((field, labels))
    apart = metric.compute()
    assert 0.1 < apart < 0.9  # class 2 is in neither map
    field[:, 0] = 2.0
    metric.update((field, labels))
    assert metric.compute() == pytest.approx((apart + 1.0) / 2)

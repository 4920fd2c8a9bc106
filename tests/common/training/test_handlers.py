import csv
import json
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine

from common.errors import InputError
from common.training.handlers import (
    Checkpoints,
    PolynomialRate,
    Progress,
    TimeLimit,
    TrainingLog,
    Validation,
    half_precision,
    overview,
    read_weights,
    save_atomically,
)


class Evaluator:
    """Gives out scores in turn."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = iter(scores)
        self.state = type("State", (), {"metrics": {}, "key_metric_name": "val_dice", "output": None})()

    def run(self, epoch: int) -> None:
        self.state.metrics = {"val_dice": next(self.scores)}


def engine() -> Engine:
    return Engine(lambda engine, batch: {"loss": float(batch), "smooth": 2.0 * batch})


def test_polynomial_rate_is_the_published_schedule() -> None:
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = PolynomialRate(optimizer, 1e-4, 0.9, 500)
    assert schedule.rate(1, 1) == pytest.approx(1e-4)
    assert schedule.rate(251, 9) == pytest.approx(1e-4 * 0.5**0.9)
    assert schedule.rate(501, 9) == 0.0
    assert PolynomialRate(optimizer, 1e-4, 0.0, 3).rate(3, 1) == 1e-4
    assert PolynomialRate(optimizer, 1e-4, 0.0, 3, warmup_steps=10).rate(1, 5) == pytest.approx(5e-5)
    run = engine()
    schedule.attach(run)
    run.run([0.0], max_epochs=2)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-4 * (1 - 1 / 500) ** 0.9)


def test_log_writes_means_and_notes_and_tensorboard(tmp_path: Path) -> None:
    log, run = TrainingLog(str(tmp_path / "log.csv"), interval=2, writer_dir=str(tmp_path / "tb")), engine()
    log.attach(run)
    run.run([1.0, 2.0, 3.0, 5.0], max_epochs=1)
    log.note(run, "val_dice", 0.5)
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [row["loss"] for row in rows] == ["1.5", "4", ""]
    assert [row["step"] for row in rows] == ["2", "4", "4"]
    assert rows[1]["smooth"] == "8" and rows[2]["val_dice"] == "0.50000"
    assert list((tmp_path / "tb").iterdir())


def test_a_validation_sends_a_picture_to_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    evaluator, run = Evaluator([0.5]), engine()
    pair, ddf = torch.rand(1, 2, 6, 5, 4), torch.zeros(1, 3, 6, 5, 4)
    ddf[:, 0] = 1.0
    evaluator.state.output = {"image": pair, "pred": ddf}
    log = TrainingLog(str(tmp_path / "log.csv"), writer_dir=str(tmp_path / "tb"))
    log.attach(run)
    Validation(evaluator, 1, torch.nn.Linear(1, 1), str(tmp_path), log=log).attach(run)
    run.run([1.0], max_epochs=1)
    events = EventAccumulator(str(tmp_path / "tb"), size_guidance={"images": 0}).Reload()
    assert events.Tags()["images"] == ["moving, fixed, moved, difference"]
    assert "val_dice" in events.Tags()["scalars"]
    drawn = overview(pair, ddf)
    assert drawn.shape == (5, 24)
    moving, moved = drawn[:, :6].flip(0).T, drawn[:, 12:18].flip(0).T
    torch.testing.assert_close(moved[:-1], moving[1:])  # moved(x) = moving(x + 1)


def test_best_weights_and_early_stop(tmp_path: Path) -> None:
    network, run = torch.nn.Linear(2, 1), engine()
    validation = Validation(Evaluator([0.2, 0.6, 0.5, 0.4, 0.9]), 1, network, str(tmp_path), patience=2)
    validation.attach(run)
    run.run([0.0], max_epochs=5)
    assert run.state.epoch == 4  # two validations without progress after the second
    assert json.loads((tmp_path / "best.json").read_text()) == {"val_dice": 0.6, "epoch": 2, "step": 2}
    assert torch.equal(read_weights(str(tmp_path / "best.pt"))["weight"], network.weight)
    other = Validation(Evaluator([]), 1, network, str(tmp_path))
    other.load_state_dict(validation.state_dict())
    assert (other.best, other.best_epoch, other.waited) == (0.6, 2, 2)


def test_half_precision_with_eight_bits_where_told_loads_as_floats(tmp_path: Path) -> None:
    source = {
        "mlp.0.weight": torch.linspace(-0.05, 0.05, 64),
        "head.mlp.0.weight": torch.ones(2),
        "count": torch.ones(1).long(),
    }
    small = half_precision(source, eight_bit=r"mlp\.\d\.weight")
    assert [value.dtype for value in small.values()] == [torch.float8_e4m3fn, torch.float16, torch.int64]
    save_atomically(small, tmp_path / "small.pt")
    layer = torch.nn.Linear(64, 1, bias=False)
    layer.load_state_dict({"weight": torch.load(tmp_path / "small.pt", weights_only=True)["mlp.0.weight"][None]})
    read = read_weights(str(tmp_path / "small.pt"))["mlp.0.weight"]
    assert torch.equal(layer.weight[0], read) and (read - source["mlp.0.weight"]).abs().max() < 0.002


def test_only_the_first_rank_writes(tmp_path: Path) -> None:
    network, run = torch.nn.Linear(2, 1), engine()
    validation = Validation(Evaluator([0.2]), 1, network, str(tmp_path), save=False)
    optimizer = torch.optim.Adam(network.parameters())
    Checkpoints(str(tmp_path), network, optimizer, validation, save=False).attach(run)
    validation.attach(run)
    run.run([0.0], max_epochs=1)
    assert validation.best == 0.2 and not list(tmp_path.iterdir())


def test_checkpoints_start_from_weights_and_refuse_to_resume_from_nothing(tmp_path: Path) -> None:
    source, network = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    save_atomically(half_precision(source.state_dict()), tmp_path / "half.pt")
    optimizer, run = torch.optim.Adam(network.parameters()), engine()
    Checkpoints(str(tmp_path), network, optimizer, initial=str(tmp_path / "half.pt"), save=False).attach(run)
    run.run([0.0], max_epochs=1)
    assert torch.equal(network.weight, source.weight.half().float())
    run = engine()
    Checkpoints(str(tmp_path / "none"), network, optimizer, resume=True).attach(run)
    with pytest.raises(InputError, match="checkpoint of a run to resume, found none"):
        run.run([0.0], max_epochs=1)
    (tmp_path / "bad.pt").write_text("x")
    with pytest.raises(InputError, match=r"bad\.pt: expected a state dict"):
        read_weights(str(tmp_path / "bad.pt"))


def test_weights_of_another_network_are_taken_where_they_fit(tmp_path: Path) -> None:
    save_atomically({"0.weight": torch.ones(3, 2), "1.weight": torch.ones(9, 9)}, tmp_path / "other.pt")
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    run = engine()
    optimizer = torch.optim.Adam(network.parameters())
    handler = Checkpoints(str(tmp_path), network, optimizer, initial=str(tmp_path / "other.pt"), save=False)
    handler.attach(run)
    with pytest.raises(InputError, match="initial_partial"):
        run.run([0.0], max_epochs=1)
    handler.partial = True
    handler.load_initial()
    assert torch.equal(network[0].weight, torch.ones(3, 2)) and network[1].weight.shape == (1, 3)


def test_time_limit_ends_after_an_epoch_and_the_bar_counts_all_steps(capsys: pytest.CaptureFixture) -> None:
    run = engine()
    TimeLimit(1e-9).attach(run)
    Progress().attach(run)
    run.run([0.0, 1.0, 2.0], max_epochs=4)
    assert run.state.iteration == 3
    assert "3/12" in capsys.readouterr().err
    run = engine()
    TimeLimit(0).attach(run)
    run.run([0.0], max_epochs=2)
    assert run.state.epoch == 2

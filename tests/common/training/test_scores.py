"""Scores of labelled pairs, by kind."""

import math

import pytest
import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError

from common.training.scores import PairScores, by_kind, score


def cube(start: int) -> torch.Tensor:
    label = torch.zeros(1, 1, 16, 16, 16, dtype=torch.uint8)
    label[:, :, start : start + 6, 4:12, 4:12] = 1
    return label


def test_a_shift_brings_labels_together() -> None:
    ddf = torch.zeros(1, 3, 16, 16, 16)
    assert score(ddf, cube(4), cube(6), [1, 2])["dice"] == pytest.approx(4 / 6)
    ddf[:, 0] = -2.0
    assert score(ddf, cube(4), cube(6), [1]) == {"dice": 1.0, "sd_log_jacobian": 0.0, "folds": 0.0}


def test_a_stretch_that_turns_over_is_rough_and_folded() -> None:
    ddf = torch.zeros(1, 3, 16, 16, 16)
    ddf[:, 0, :8] = -2.0 * torch.arange(8.0).view(8, 1, 1)  # x -> -x: determinant -1
    found = score(ddf, cube(2), cube(2), [1])
    assert 0.5 < found["folds"] <= 1 and found["sd_log_jacobian"] >= 0
    ddf[:, 0] = 1.0 * torch.arange(16.0).view(16, 1, 1)
    ddf[:, 0, :5] = 0.0
    half = score(ddf, cube(2), cube(2), [1])  # one half stays, the other is stretched to twice its length
    assert half["sd_log_jacobian"] > 0 and not half["folds"]


def test_kinds_are_averaged_apart_and_roughness_together() -> None:
    rows = [{"dice": d, "sd_log_jacobian": s, "folds": 0.0} for d, s in ((0.6, 0.4), (0.8, 0.2), (0.5, 0.6))]
    found = by_kind(rows, ["T1-T1", "T1-T1", "T1-CT"])
    assert found == pytest.approx({"dice T1-T1": 0.7, "dice T1-CT": 0.5, "sd_log_jacobian": 0.4, "folds": 0.0})
    assert list(by_kind(rows[:1], [""])) == ["dice", "sd_log_jacobian", "folds"]


def test_the_metric_reads_the_kind_from_the_batch() -> None:
    outputs = iter([(torch.zeros(1, 3, 16, 16, 16), torch.cat([cube(n), cube(4)], 1)) for n in (4, 6)])
    engine, metric = Engine(lambda _, batch: next(outputs)), PairScores([1])
    metric.attach(engine, "scores")
    engine.run([{"kind": ["T1-T1"]}, {"kind": ["T1-CT"]}])
    expected = {"val dice T1-T1": 1.0, "val dice T1-CT": 4 / 6, "val sd_log_jacobian": 0.0, "val folds": 0.0}
    assert {name: engine.state.metrics[name] for name in expected} == pytest.approx(expected)
    with pytest.raises(NotComputableError, match="expects at least one pair, got none"):
        PairScores([1]).compute()
    assert math.isnan(score(torch.zeros(1, 3, 16, 16, 16), cube(4), cube(4), [7])["dice"])

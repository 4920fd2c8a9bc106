import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from common.evaluation import EvaluationReport, ScorePaird

AFFINE = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0], dtype=torch.float64))
SHAPE = (10, 11, 12)


def on_grid(volume: np.ndarray) -> MetaTensor:
    return MetaTensor(torch.from_numpy(volume)[None].float(), affine=AFFINE.clone())


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, Any]:
    """A moving block one voxel farther along the first axis, and the field that says so."""
    fixed, moving = np.zeros(SHAPE), np.zeros(SHAPE)
    fixed[2:6, 3:8, 3:8] = 4
    moving[3:7, 3:8, 3:8] = 4
    moving[:2, :2, :2] = 9  # of no interest
    ddf = torch.zeros(3, *SHAPE)
    ddf[0] = 1
    (tmp_path / "f.csv").write_text("3,4,5\n")
    (tmp_path / "m.csv").write_text("5,4,5\n")
    return {
        "name": "m_to_f",
        "kind": "T1-CT",
        "fixed": on_grid(fixed),
        "moving": on_grid(moving),
        "ddf": MetaTensor(ddf, affine=AFFINE.clone()),
        "fixed_label": on_grid(fixed),
        "moving_label": on_grid(moving),
        "fixed_keypoints": str(tmp_path / "f.csv"),
        "moving_keypoints": str(tmp_path / "m.csv"),
        "clock": {"start": 1e6, "load": 50.0, "network_grid": 1.0, "network": 2.0, "fixed_grid": 3.0},
    }


@pytest.fixture
def datalist(tmp_path: Path) -> str:
    """Names and structures; the images are not there, and nobody looks."""
    pairs = [{"fixed": "f.nii", "moving": "m.nii", "name": name} for name in ("b", "a", "c")]
    content = {"labels": {"0": "Background", "4": "Block"}, "validation": pairs}
    (tmp_path / "list.json").write_text(json.dumps(content))
    return str(tmp_path / "list.json")


def test_a_pair_becomes_its_record_and_nothing_else(pair: dict[str, Any], datalist: str) -> None:
    out = ScorePaird("VoxelMorph", datalist)(pair)
    assert list(out) == ["record"]
    record = out["record"]
    assert (record["method"], record["pair"], record["kind"]) == ("VoxelMorph", "m_to_f", "T1-CT")
    assert (record["seconds"], record["network_seconds"]) == (6.0, 2.0)
    assert record["peak_memory_mb"] > 50
    assert list(record["structures"]) == [4]
    assert record["scores"]["dice_nearest"] == 1
    assert record["scores"]["landmark_error_initial_mm"] == 4 and record["scores"]["landmark_error_mm"] == 2


def test_what_a_pair_lacks_is_not_scored(pair: dict[str, Any]) -> None:
    assert list(ScorePaird("x")(pair)["record"]["structures"]) == [4, 9]  # no list: all labels that occur
    few = {key: pair[key] for key in ("fixed", "moving", "ddf")}
    record = ScorePaird("x")(few)["record"]
    assert record["structures"] == {} and not any("landmark" in name for name in record["scores"])
    assert record["scores"]["folds_percent"] == 0
    assert math.isnan(record["network_seconds"])


def record(name: str, dice: float) -> dict[str, Any]:
    scores = {"dice_nearest": dice}
    return {"method": "x", "pair": name, "kind": "", "seconds": 1.0, "scores": scores, "structures": {4: scores}}


def finished(report: EvaluationReport, *records: dict[str, Any]) -> Engine:
    engine = Engine(lambda *_: None)
    for one in records:
        report.collect(SimpleNamespace(state=SimpleNamespace(output=[{"record": one}])))  # type: ignore[arg-type]
    report.finish(engine)
    return engine


def test_means_for_other_handlers_and_tables_in_the_order_of_the_list(tmp_path: Path, datalist: str) -> None:
    report = EvaluationReport(str(tmp_path / "out"), datalist, "validation", {"passes": [2, 1]})
    engine = finished(report, record("a", 0.5), record("b", 0.75))
    assert engine.state.metrics == {"seconds": 1.0, "dice_nearest": 0.625}
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [row["pair"] for row in content["pairs"]] == ["b", "a"]
    facts = content["protocol"]
    assert (facts["datalist"], facts["section"], facts["pairs"], facts["passes"]) == (
        "list.json",
        "validation",
        2,
        [2, 1],
    )
    assert facts["structures"] == {"4": "Block"}


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_join_and_the_first_one_writes(tmp_path: Path, datalist: str, monkeypatch, rank: int) -> None:
    """A pair that the sampler gave to both counts once."""
    other = [record("a", 0.5), record("c", 1.0)]

    def gather(parts: list[Any], mine: list[Any]) -> None:
        parts[:] = [mine, other]

    for name, value in (("is_initialized", True), ("get_world_size", 2), ("get_rank", rank)):
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    report = EvaluationReport(str(tmp_path / "out"), datalist, "validation")
    engine = finished(report, record("b", 0.75), record("a", 0.5))
    assert engine.state.metrics["dice_nearest"] == 0.75
    assert (tmp_path / "out" / "evaluation.json").is_file() is (rank == 0)


def test_a_second_run_starts_anew(tmp_path: Path, datalist: str) -> None:
    report = EvaluationReport(str(tmp_path / "out"), datalist, "validation")
    for names in (("a", "b"), ("c",)):
        records = iter(record(name, 0.5) for name in names)
        engine = Engine(lambda _engine, _batch, records=records: [{"record": next(records)}])
        report.attach(engine)
        engine.run(range(len(names)), max_epochs=1)
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [row["pair"] for row in content["pairs"]] == ["c"]

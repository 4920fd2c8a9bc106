"""All bundles in a given time, in the small: two bundles of a tiny network on a tiny data set."""

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from common.errors import InputError
from tests.bundles.conftest import ROOT
from tests.common.training.tiny import TinyNetwork, write_data_set
from tools.train_all import in_types_of, train_all

TINY = {"_target_": "tests.common.training.tiny.TinyNetwork"}
SMALL = {"network_def": TINY, "multiple": 1, "spacing": 2.0}
OPTIONS: dict[str, Any] = {
    "minutes": 30.0,  # the epochs end the runs
    "device": "cpu",
    "size": [16, 16, 16],
    "contrasts": {"t1-t1": 0.5, "t1-ct": 0.5},
    "epochs": 3,
    "epoch_length": 4,
    "val_interval": 1,
    "lncc_window": 5,
    "precision": "float32",
    "rate_factors": {},
    "learning_rate": 0.003,
    "field_weight": 0.0,
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two bundles whose weights are no more than first ones."""
    write_data_set(tmp_path)
    for number, name in enumerate(("first", "second")):
        folder = tmp_path / "bundles" / name
        shutil.copytree(ROOT / "bundles" / "mambamorph" / "configs", folder / "configs")
        (folder / "models").mkdir()
        for file in ("inference.json", "train.json"):
            config = json.loads((folder / "configs" / file).read_text())
            (folder / "configs" / file).write_text(
                json.dumps(config | SMALL | ({"passes": [1]} if "passes" in config else {}))
            )
        torch.manual_seed(number)
        state = {key: value.half() for key, value in TinyNetwork().state_dict().items()}
        torch.save(state, folder / "models" / "model.pt")
    monkeypatch.setenv("REGISTRATION_BUNDLES", str(tmp_path / "bundles"))
    return tmp_path


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_bundles_are_trained_scored_and_left_alone_without_a_word_to_replace(
    home: Path, capsys: pytest.CaptureFixture
) -> None:
    shipped = {n: (home / "bundles" / n / "models" / "model.pt").read_bytes() for n in ("first", "second")}
    train_all(home / "list.json", home / "out", bundles=["first:2", "second"], **OPTIONS)
    said = capsys.readouterr().out
    first, second = (float(text) for text in re.findall(r": ([\d.]+) minutes of training", said))
    assert 15 < first < 20.1 and first < second <= 30.0  # two thirds, and all that the first one left
    assert "2 of 2 bundles have a result" in said
    rows = table(home / "out")
    assert [row["bundle"] for row in rows] == ["first", "second"] and [row["steps"] for row in rows] == ["12", "12"]
    for name in ("first", "second"):
        place = home / "out" / name
        assert {"curve.csv", "curve.png", "model.pt", "result.json"} <= {file.name for file in place.iterdir()}
        weights = torch.load(place / "model.pt", weights_only=True)
        assert all(value.dtype == torch.float16 for value in weights.values())
        assert (home / "bundles" / name / "models" / "model.pt").read_bytes() == shipped[name]
        result = json.loads((place / "result.json").read_text())
        assert result["old"].keys() == result["new"].keys() == {"dice T1-CT", "sd_log_jacobian", "folds"}
    assert (home / "out" / "curves.png").stat().st_size > 5000


def test_what_is_done_is_left_alone_and_better_weights_replace_when_asked(
    home: Path, capsys: pytest.CaptureFixture
) -> None:
    train_all(home / "list.json", home / "out", bundles=["first"], **OPTIONS)
    place, target = home / "out" / "first", home / "bundles" / "first" / "models" / "model.pt"
    result = json.loads((place / "result.json").read_text())
    for better in (False, True):
        (place / "result.json").write_text(json.dumps({**result, "better": better, "why": "for this test"}))
        capsys.readouterr()
        train_all(home / "list.json", home / "out", bundles=["first"], replace=True, **OPTIONS)
        said = capsys.readouterr().out
        assert "minutes of training" not in said
        assert (f"replaced: {target} (for this test)" in said) == better
        assert (target.read_bytes() == (place / "model.pt").read_bytes()) == better


def test_an_interrupted_run_goes_on_from_its_checkpoint(home: Path) -> None:
    train_all(home / "list.json", home / "out", bundles=["second"], **OPTIONS)
    (home / "out" / "second" / "result.json").unlink()
    train_all(home / "list.json", home / "out", bundles=["second"], **{**OPTIONS, "epochs": 5})
    assert table(home / "out")[0]["steps"] == "20"
    with (home / "out" / "second" / "curve.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["4", "8", "12", "16", "20"]


def test_time_that_is_over_is_said_and_trains_nothing(home: Path, capsys: pytest.CaptureFixture) -> None:
    train_all(home / "list.json", home / "out", bundles=["first"], **{**OPTIONS, "minutes": 0.0})
    assert "first: no time is left" in capsys.readouterr().out
    assert not (home / "out" / "first" / "run").exists()


def test_a_bundle_that_fails_does_not_stop_the_others(home: Path, capsys: pytest.CaptureFixture) -> None:
    (home / "bundles" / "first" / "models" / "model.pt").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"model.pt: expected a state dict written by torch.save"):
        train_all(home / "list.json", home / "out", bundles=["first", "second"], **OPTIONS)
    assert [row["bundle"] for row in table(home / "out")] == ["second"]
    assert "first: " in capsys.readouterr().out


def test_mistakes_are_named(home: Path) -> None:
    def call(**changes: Any) -> None:
        train_all(home / "list.json", home / "out", **{"bundles": ["first"], **OPTIONS, **changes})

    with pytest.raises(InputError, match="no bundle nowhere: expected a folder"):
        call(bundles=["nowhere"])
    with pytest.raises(InputError, match="bundles: expected NAME or NAME:WEIGHT with a weight above 0, got 'first:0'"):
        call(bundles=["first:0"])
    with pytest.raises(InputError, match=r"training first failed: error: unknown option --lerning_rate \(did you mean"):
        call(lerning_rate=1.0)
    with pytest.raises(InputError, match=r"index.json: expected a JSON file"):
        call(teacher_fields=str(home))
    with pytest.raises(InputError, match="expected the tensors of the shipped weights, got others: b"):
        in_types_of({"a": torch.zeros(1), "b": torch.zeros(1)}, {"a": torch.zeros(1)})

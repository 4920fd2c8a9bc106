"""The anatomy network learns, and what it writes can be gone on from."""

import json

import pytest
import torch

from common.anatomy import anatomy_network
from common.errors import InputError
from common.training.weights import read_weights
from tools.kit import kit
from tools.train_anatomy import train_anatomy


def test_a_few_steps_write_weights_that_can_be_gone_on_from(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tools.train_anatomy.WARM", 2)
    kit(str(tmp_path / "kit"), subjects=4, spacing=4.0)
    datalist = tmp_path / "kit" / "datalist_4mm.json"
    monkeypatch.setattr("tools.train_anatomy.SPACING", 4.0)
    train_anatomy(datalist, tmp_path / "a.pt", minutes=0.05, device="cpu", report=0.02)
    train_anatomy(datalist, tmp_path / "b.pt", minutes=0.02, device="cpu", initial=str(tmp_path / "a.pt"))
    told = capsys.readouterr().out
    assert "loss" in told and told.count("written: ") == 2
    state = torch.load(tmp_path / "b.pt", weights_only=True)
    assert {value.dtype for value in state.values()} == {torch.float16}
    anatomy_network().load_state_dict(read_weights(tmp_path / "b.pt"))


def test_labels_without_numbers_are_refused(tmp_path):
    (tmp_path / "list.json").write_text(json.dumps({"training": [{"id": "a", "t1": "a.nii.gz"}]}))
    with pytest.raises(InputError, match="expected freesurfer_ids, the FreeSurfer number of each label value"):
        train_anatomy(tmp_path / "list.json", tmp_path / "a.pt")

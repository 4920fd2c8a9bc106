"""What the configurations call: pairs, devices, weights."""

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from common.bundle import LoadWeights, pairs_of, require_pairs
from common.bundle.config import check_device
from common.errors import InputError


def test_nothing_to_register():
    with pytest.raises(InputError, match="nothing to register"):
        require_pairs([])


@pytest.mark.parametrize("content", ["[]", '{"test": []}'])
def test_an_empty_list_is_no_finished_one(tmp_path, content):
    (tmp_path / "list.json").write_text(content)
    refused = r"^datalist .*list.json: expected at least one item under .*, got an empty list$"
    for resume in (False, True):
        with pytest.raises(InputError, match=refused):
            pairs_of(datalist=tmp_path / "list.json", output_dir=tmp_path / "out", resume=resume)
    with pytest.raises(InputError, match="expected a fixed and a moving image, or a datalist, got fixed=None"):
        pairs_of(datalist=[], output_dir=tmp_path / "out", resume=True)


def test_without_images_the_sample_pair_is_registered_and_said(caplog):
    (pair,) = pairs_of()
    assert pair["fixed"].endswith("fixed_t1.nii.gz") and pair["moving"].endswith("moving_ct.nii.gz")
    assert "the sample pair is registered" in caplog.text


@pytest.mark.parametrize("given", [{"fixed": "a.nii.gz"}, {"fixed_label": "a.nii.gz"}])
def test_half_a_pair_is_no_sample_pair(given):
    with pytest.raises(InputError, match="expected a fixed and a moving image, or a datalist"):
        pairs_of(**given)


def test_devices():
    assert check_device("cpu") == check_device(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(InputError, match="expected cpu, cuda or cuda:0 and so on, got 'gpu'"):
        check_device("gpu")
    with pytest.raises(InputError, match="expected one that is here, got cuda:64; this machine has cpu"):
        check_device("cuda:64")


@pytest.mark.parametrize(("wanted", "loaded"), [(True, True), ("false", False), ("True", True)])
def test_weights_are_loaded_when_the_run_starts(tmp_path, wanted, loaded):
    trained, network = nn.Linear(2, 3), nn.Linear(2, 3)
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    handler = LoadWeights(str(tmp_path / "model.pt"), network, wanted)
    engine = Engine(lambda engine, batch: None)
    handler.attach(engine)
    engine.run([0])
    assert torch.equal(network.weight, trained.weight) is loaded
    assert (handler.record() is not None) is loaded


def test_weights_that_are_not_there_are_no_matter_unless_wanted(tmp_path):
    LoadWeights(str(tmp_path / "absent.pt"), nn.Linear(2, 3), "false")
    with pytest.raises(InputError, match=r"no trained weights yet: expected .*absent.pt"):
        LoadWeights(str(tmp_path / "absent.pt"), nn.Linear(2, 3))

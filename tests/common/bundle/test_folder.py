"""Bundles' networks and weights."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from common.bundle import build_network, load_network
from common.bundle.folder import Weights
from common.errors import InputError
from tests.common.training.tiny import TinyNetwork

TINY = {"_target_": "tests.common.training.tiny.TinyNetwork"}


def write_bundle(folder: Path, **config) -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "inference.json").write_text(json.dumps({"network_def": TINY, **config}))
    return folder


def test_a_network_with_other_arguments(tmp_path):
    root = write_bundle(tmp_path / "tiny")
    assert isinstance(build_network(root, {"dropout": 0.5}), TinyNetwork)
    with pytest.raises(InputError, match=r"the network of .*tiny cannot be built with \{'nonsense': 1\}"):
        build_network(root, {"nonsense": 1})


def test_a_network_with_its_weights(tmp_path):
    root, trained = write_bundle(tmp_path / "tiny"), TinyNetwork()
    torch.save(trained.half().state_dict(), root / "models" / "model.pt")
    network = load_network(root)
    assert not network.training
    for key, value in trained.state_dict().items():
        torch.testing.assert_close(network.state_dict()[key], value.float())


def test_weights_carry_the_digest_of_what_was_loaded(tmp_path):
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "model.pt")
    expected = hashlib.sha256((tmp_path / "model.pt").read_bytes()).hexdigest()
    assert Weights(tmp_path / "model.pt").digest == expected


def damaged(path: Path) -> None:
    torch.save(nn.Linear(2, 3).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-300])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no trained weights yet: expected .*model.pt"),
        (damaged, "model.pt: expected a state dict, got RuntimeError"),
        (lambda path: torch.save(Path("x"), path), "model.pt: expected a state dict, got UnpicklingError"),
        (lambda path: torch.save([1, 2], path), "model.pt: expected a state dict of Linear, got list"),
        (lambda path: torch.save({"weight": 1}, path), "model.pt: expected a state dict of Linear, got dict"),
        (
            lambda path: torch.save(nn.Linear(3, 3).state_dict(), path),
            r"weight has shape \(3, 3\) instead of \(3, 2\)$",
        ),
        (lambda path: torch.save(nn.Linear(2, 3, bias=False).state_dict(), path), "but bias is missing$"),
        (
            lambda path: torch.save(nn.Bilinear(2, 2, 2).state_dict(), path),
            r"but weight has shape \(2, 2, 2\) instead of \(3, 2\) and 1 more such$",
        ),
    ],
)
def test_files_that_are_no_weights_of_the_network(tmp_path, write, message):
    write(tmp_path / "model.pt")
    with pytest.raises(InputError, match=message) as caught:
        Weights(tmp_path / "model.pt").load_into(nn.Linear(2, 3))
    assert "\n" not in str(caught.value)

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from common.errors import InputError
from common.training.checkpoints import Checkpoints
from common.training.run_folder import RunFolder
from common.training.validation import Validation
from common.training.weights import load, save
from tests.common.training.engines import Evaluator, engine


def handler(folder: Path, network: nn.Module, resume: bool = False, rank: int = 0, **more: Any) -> Checkpoints:
    optimizer = torch.optim.Adam(network.parameters())
    return Checkpoints(RunFolder(str(folder), resume=resume, rank=rank), network, optimizer, **more)


def test_a_checkpoint_holds_the_validation_of_its_epoch_and_is_gone_on_with(tmp_path: Path) -> None:
    source, run = nn.Linear(2, 1), engine()
    validation = Validation(Evaluator([0.2, 0.3]), 1, source, RunFolder(str(tmp_path)))
    handler(tmp_path, source, validation=validation).attach(run)
    validation.attach(run)
    run.run([0.0, 1.0], max_epochs=2)
    stored = load(tmp_path / "last.pt")
    assert (stored["epoch"], stored["step"], stored["validation"]["best"]) == (2, 4, 0.3)
    network, again = nn.Linear(2, 1), engine()
    other = Validation(Evaluator([0.1]), 1, network, RunFolder(str(tmp_path)))
    handler(tmp_path, network, resume=True, validation=other, initial="not read").attach(again)
    other.attach(again)
    again.run([0.0, 1.0], max_epochs=3)
    assert torch.equal(network.weight, source.weight)
    assert (again.state.iteration, other.best, other.best_epoch, other.waited) == (6, 0.3, 2, 1)


def test_a_run_starts_from_other_weights(tmp_path: Path) -> None:
    source, network, run = nn.Linear(2, 1), nn.Linear(2, 1), engine()
    save(source.state_dict(), tmp_path / "start.pt")
    handler(tmp_path, network, initial=str(tmp_path / "start.pt")).attach(run)
    run.run([0.0], max_epochs=1)
    assert torch.equal(network.weight, source.weight)


@pytest.mark.parametrize("partial", [True, "true", False, "false"])
def test_partial_is_read_as_people_write_it(tmp_path: Path, partial: bool) -> None:
    save({"weight": torch.ones(1, 2)}, tmp_path / "start.pt")
    network, run = nn.Linear(2, 1), engine()
    handler(tmp_path, network, initial=str(tmp_path / "start.pt"), partial=partial).attach(run)
    if partial in (True, "true"):
        run.run([0.0], max_epochs=1)
        assert torch.equal(network.weight, torch.ones(1, 2))
    else:
        with pytest.raises(InputError, match="initial_partial"):
            run.run([0.0], max_epochs=1)


def test_a_checkpoint_of_another_network_is_named(tmp_path: Path) -> None:
    run = engine()
    handler(tmp_path, nn.Linear(3, 1)).attach(run)
    run.run([0.0], max_epochs=1)
    run = engine()
    handler(tmp_path, nn.Linear(2, 1), resume=True).attach(run)
    with pytest.raises(InputError, match=r"last\.pt: expected the checkpoint of a run with this network and optimizer"):
        run.run([0.0], max_epochs=1)


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    run = engine()
    handler(tmp_path, nn.Linear(2, 1), rank=1).attach(run)
    run.run([0.0], max_epochs=1)
    assert not list(tmp_path.iterdir())

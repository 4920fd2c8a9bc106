"""The inference pipeline of a bundle, with a given network, as MONAI's engine runs it."""

import json
from pathlib import Path
from typing import Any

import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from monai.transforms import Compose

from common.registration import (
    LoadPaird,
    SaveRegistrationd,
    ToFixedGridd,
    ToNetworkGridd,
    ValidatePaird,
    registration_pairs,
)


def register(folder: Path, network: torch.nn.Module, pairs: dict[str, Any], handlers=(), workers: int = 0, **grid):
    """Register the pairs and return the evaluator; ``pairs`` are arguments of ``registration_pairs``."""
    options = {"spacing": 2.0, "multiple": 8} | grid
    before = Compose([LoadPaird(), ValidatePaird(), ToNetworkGridd(**options)])
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(
            Dataset(registration_pairs(**pairs), before), batch_size=1, num_workers=workers, shuffle=False
        ),
        network=network,
        inferer=SimpleInferer(),
        postprocessing=Compose([ToFixedGridd(), SaveRegistrationd(folder, network="wavy")]),
        val_handlers=list(handlers) or None,
    )
    evaluator.run()
    return evaluator


def run(data: dict, network: torch.nn.Module, **grid) -> dict:
    """The transforms without an engine."""
    options = {"spacing": 2.0, "multiple": 8} | grid
    out = Compose([LoadPaird(), ValidatePaird(), ToNetworkGridd(**options)])(data)
    out["pred"] = network(out["image"][None])[0]
    return ToFixedGridd()(out)


def metrics_of(folder: Path) -> dict[str, Any]:
    """What ``metrics.json`` holds."""
    return json.loads((folder / "metrics.json").read_text())

"""Numeric fixtures made with the authors' code: load one, fill the weights, run our network on its pair."""

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.spatial import warp
from tests.conftest import shared_path
from tools.key_map import KeyMap, load_key_map


@dataclass(frozen=True)
class Agreement:
    """The largest difference of one array of a fixture, in its own unit, and what is allowed."""

    fixture: str
    volume: str
    array: str
    error: float
    tolerance: float
    parameters: int


REPORT: list[Agreement] = []  # what the tests of this run have compared, for the summary at its end


def report_lines(agreements: Sequence[Agreement]) -> list[str]:
    """The agreements as a markdown table, each comparison once, with the larger error where it was made twice."""
    worst: dict[tuple[str, str, str], Agreement] = {}
    for row in agreements:
        key = (row.fixture, row.volume, row.array)
        worst[key] = max(worst.get(key, row), row, key=lambda agreement: agreement.error)
    lines = ["| fixture | volume | array | largest error | tolerance | parameters |", "|---|---|---|---|---|---|"]
    for row in worst.values():
        values = f"{row.error:.1e} | {row.tolerance:.0e} | {row.parameters:,}"
        lines.append(f"| {row.fixture} | {row.volume} | {row.array} | {values} |")
    return lines


def _fill_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity_fill", shared_path("parity/fill.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_config(name: str) -> dict[str, Any]:
    """Return the fixture's config.json, or skip the test where the fixtures are not beside the checkout."""
    return json.loads(shared_path(f"parity/{name}/config.json").read_text())


def authors_weights(config: dict[str, Any]) -> dict[str, Tensor]:
    """Return the fixture's weights under the authors' names."""
    filled = _fill_module().fill(config["keys"], config["salt"], config["head_keys"], config["head_scale"])
    return {key: torch.from_numpy(value) for key, value in filled.items()}


def load_network(network: nn.Module, config: dict[str, Any], key_map: KeyMap | None = None) -> nn.Module:
    """Load the fixture's weights strictly into ``network`` through its key map; returns it in evaluation mode."""
    key_map = key_map or load_key_map(type(network).__name__)
    weights = {str(key_map.rename(key)): value for key, value in authors_weights(config).items()}
    network.load_state_dict(weights, strict=True)
    return network.eval()


def check_parity(network: nn.Module, name: str, skip: Sequence[str] = ()) -> None:
    """Assert that every array of every case of the fixture, but those in ``skip``, is within its tolerance."""
    config = load_config(name)
    assert sum(p.numel() for p in network.parameters()) == config["parameter_count"]
    load_network(network, config)
    for case in config["cases"]:
        io = np.load(shared_path(f"parity/{name}/{case['file']}"))
        moving, fixed = torch.from_numpy(io["moving"]), torch.from_numpy(io["fixed"])
        with torch.no_grad():
            pair = torch.cat([moving, fixed], dim=1)
            ours = network.fields(pair)
            assert torch.equal(network(pair), ours["ddf"])
        results = {**ours, "displacement": ours["ddf"], "moved": warp(moving, ours["ddf"])}
        for array, limit in config["tolerance"].items():
            if array in skip:
                continue
            step = case["stride"][array]
            error = results[array][..., ::step, ::step, ::step].numpy() - io[array]
            largest, volume = float(abs(error).max()), "x".join(map(str, moving.shape[2:]))
            REPORT.append(Agreement(name, volume, array, largest, limit["max_abs"], config["parameter_count"]))
            assert largest <= limit["max_abs"], (name, array, largest)
            assert (error**2).mean() ** 0.5 <= limit["rms"], (name, array)

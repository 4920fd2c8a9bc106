"""State dicts in files: written whole, read without running what is in them, halved, handed on to another network."""

import logging
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import InputError
from common.writing import write_atomically

logger = logging.getLogger(__name__)


def save(content: Any, path: str | Path) -> None:
    """Save with ``torch.save``, the whole file or none; equal contents make equal files."""

    def write(partial: Path) -> None:
        with partial.open("wb") as file:  # given a path, torch.save would store the temporary name inside
            torch.save(content, file)

    write_atomically(path, write)


def load(path: str | Path) -> dict[str, Any]:
    """Read a dictionary of tensors and plain values that ``torch.save`` wrote.

    Raises:
        InputError: the file is missing, damaged, or holds anything else.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive fails in many ways
        raise InputError(f"{path}: expected a state dict written by torch.save, got: {_first_line(error)}") from error
    if not isinstance(stored, dict):
        raise InputError(f"{path}: expected a state dict, got {type(stored).__name__}")
    return stored


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a plain state dict, or the network of a run's ``last.pt``; half and quarter precision become float32.

    Raises:
        InputError: as ``load``, or the file holds no tensors.
    """
    stored = load(path)
    state = stored.get("network", stored)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: expected a state dict, a tensor for each name, got {sorted(stored)[:5]}")
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def half_precision(state: dict[str, Tensor], eight_bit: str = "") -> dict[str, Tensor]:
    """Return a state dict whose floating-point tensors are float16, as ``models/model.pt`` holds it.

    Args:
        state: any state dict.
        eight_bit: regular expression; tensors whose names match it from the start become float8 (e4m3: 3 % relative
            error, worst below 0.016) where a file would be too large. Loading turns them into the network's type.
    """

    def smaller(name: str, value: Tensor) -> Tensor:
        if not value.is_floating_point():
            return value
        return value.to(torch.float8_e4m3fn) if eight_bit and re.match(eight_bit, name) else value.half()

    return {name: smaller(name, value) for name, value in state.items()}


def start_from(network: nn.Module, path: str | Path, partial: bool = False) -> None:
    """Load the tensors of a file into a network.

    Args:
        network: who gets them.
        path: as ``read_weights`` takes it.
        partial: take what fits in name and shape, say of a network that shares parts with this one.

    Raises:
        InputError: as ``read_weights``; without ``partial``, names or shapes that differ.
    """
    mine, found = network.state_dict(), read_weights(path)
    fitting = {key: value for key, value in found.items() if key in mine and mine[key].shape == value.shape}
    if not partial and (len(fitting) < len(found) or len(fitting) < len(mine)):
        raise InputError(
            f"{path}: {len(fitting)} of {len(mine)} tensors fit this network, expected all "
            "(set initial_partial to start from what fits)"
        )
    network.load_state_dict(fitting, strict=False)
    logger.info("started from %d of %d tensors of %s", len(fitting), len(mine), path)

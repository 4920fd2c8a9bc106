"""A bundle's folder: what its files say, and its network; where bundles are found is in ``common.places``."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from common.errors import InputError, find_input_error
from common.places import find_bundle


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: it cannot be read, or is no object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a readable JSON file, got: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def build_network(bundle: str | Path, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """Build the network of a bundle's ``network_def``, with its first weights.

    Args:
        bundle: as ``find_bundle`` takes it.
        arguments: constructor arguments that replace or join those of ``network_def``.

    Raises:
        InputError: no such bundle, or its network refuses the arguments.
    """
    definition = read_json(find_bundle(bundle) / "configs" / "inference.json")["network_def"]
    parser = ConfigParser({"network_def": {**definition, **(arguments or {})}})
    try:
        return parser.get_parsed_content("network_def")
    except (RuntimeError, TypeError, ValueError) as error:
        reason = find_input_error(error) or error.__cause__ or error
        raise InputError(f"the network of {bundle} cannot be built with {dict(arguments or {})}: {reason}") from error


def load_network(bundle: str | Path, device: torch.device | str = "cpu") -> nn.Module:
    """Build the network of a bundle with the weights of its ``models/model.pt``, in evaluation mode.

    Raises:
        InputError: no such bundle, no weights, or weights of another network.
    """
    root = find_bundle(bundle)
    network = build_network(root)
    Weights(root / "models" / "model.pt").load_into(network)
    return network.to(device).eval()


class Weights:
    """A file with a state dict, read once: what is loaded is what was hashed.

    Args:
        path: a file that ``torch.save`` wrote; nothing in it is executed.

    Raises:
        InputError: there is no such file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(
                f"this bundle has no trained weights yet: expected {self.path}; train it (docs/training.md), convert a "
                "checkpoint (python -m tools convert), or run it with random weights by --load_pretrain false; where "
                "MONAI's ConfigParser alone reads a configuration, bundle_root has to be set to the bundle's folder"
            )
        with self.path.open("rb") as file:
            content = file.read()
        self.digest = hashlib.sha256(content).hexdigest()
        try:
            self.state: dict[str, torch.Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # an archive that is damaged fails in many ways, and each of them is the file's
            raise InputError(f"{self.path}: expected a state dict, got {_first_line(error)}") from error

    def load_into(self, network: nn.Module) -> None:
        """Give the network these weights, every one of them.

        Raises:
            InputError: names or shapes do not fit.
        """
        name, own = type(network).__name__, network.state_dict()
        if not isinstance(self.state, Mapping) or not all(isinstance(v, torch.Tensor) for v in self.state.values()):
            raise InputError(f"{self.path}: expected a state dict of {name}, got {type(self.state).__name__}")
        problems = [f"{key} is missing" for key in own if key not in self.state]
        problems += [f"{key} is none of its entries" for key in self.state if key not in own]
        problems += [
            f"{key} has shape {tuple(self.state[key].shape)} instead of {tuple(value.shape)}"
            for key, value in own.items()
            if key in self.state and self.state[key].shape != value.shape
        ]
        if problems:
            more = f" and {len(problems) - 1} more such" if len(problems) > 1 else ""
            raise InputError(f"{self.path}: expected weights of this {name} (see network_def), but {problems[0]}{more}")
        network.load_state_dict(self.state, strict=True)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no further text'}"

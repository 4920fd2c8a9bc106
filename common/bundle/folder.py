"""A bundle's folder: where bundles are found, what its files say, and its network."""

import hashlib
import io
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

import common
from common.errors import InputError, find_input_error

#: Environment variable that names another folder for bundles than the user's data folder.
FOLDER_VARIABLE = "REGISTRATION_BUNDLES"


def user_folder() -> Path:
    """Where a user's bundles lie: ``$REGISTRATION_BUNDLES``, else the platform's folder for programs' data."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        data = home / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return data / "registration-bundles" / "bundles"


def bundle_folders() -> dict[str, Path]:
    """Every bundle that is found by its name: those of the checkout, then those in the user's folder."""
    checkout = Path(common.__file__).resolve().parents[1] / "bundles"
    found: dict[str, Path] = {}
    for place in (checkout, user_folder()):
        for config in sorted(place.glob("*/configs/inference.json")):
            found.setdefault(config.parents[1].name, config.parents[1])
    return found


def find_bundle(bundle: str | Path) -> Path:
    """Return the folder of a bundle.

    Args:
        bundle: a folder with ``configs/inference.json`` in it, or the name of a bundle of the checkout or of the user's
            folder.

    Raises:
        InputError: there is none; the text says where it was looked for and how to get one.
    """
    named = Path(str(bundle)).expanduser()
    if (named / "configs" / "inference.json").is_file():
        return named.resolve()
    known = bundle_folders()
    if str(bundle) in known:
        return known[str(bundle)].resolve()
    raise InputError(
        f"no bundle {bundle}: expected a folder with configs/inference.json, or one of: {', '.join(known) or 'none'}; "
        f"a bundle's zip is unpacked into {user_folder()}, or into the folder that {FOLDER_VARIABLE} names"
    )


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

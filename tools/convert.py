"""``python -m tools convert``: an authors' checkpoint becomes the state dict that a bundle loads strictly."""

import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.bundle import build_network
from common.errors import InputError
from common.writing import write_atomically
from tools.key_map import KeyMap, load_key_map

# Where the authors' scripts put the weights beside optimiser states, epoch numbers and scores.
WRAPPERS = ("state_dict", "model_state")
# The scores are often numpy scalars. Rebuilding one runs no code of the file; numpy 1 wrote the older module name.
_SCALAR: Any = np.float64(0).__reduce__()[0]
_SAFE: list[Any] = [
    _SCALAR,
    (_SCALAR, "numpy.core.multiarray.scalar"),
    np.dtype,
    *{type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64", "bool")},
]


@dataclass
class Conversion:
    """What became of every entry of a checkpoint."""

    weights: dict[str, Tensor] = field(default_factory=dict)
    dropped: list[tuple[str, str]] = field(default_factory=list)  # authors' entry, reason
    unexpected: list[str] = field(default_factory=list)
    left_out: int = 0  # weights of dropped entries that the forward pass never reads


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running anything that it contains.

    Raises:
        InputError: there is no such file, it is no checkpoint, or it holds more than tensors and plain values.
    """
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}")
    try:
        with torch.serialization.safe_globals(_SAFE):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # weights_only refuses objects; loading them would run the file's code, so there is no switch for it.
        raise InputError(
            f"{path} holds more than tensors and plain values, or is no checkpoint: {_cause(error)}"
        ) from error
    except Exception as error:  # on bytes that are no pickle at all the reader fails in many ways
        raise InputError(f"{path} is no readable PyTorch checkpoint: {_cause(error)}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a state dict or a dict that holds one, got a {type(content).__name__}")
    return content


def _cause(error: Exception) -> str:
    """Return the line of PyTorch's long explanation that names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "Unsupported" in line or "GLOBAL" in line), lines[0] if lines else "empty")


def unwrap(content: dict[str, Any], path: Path) -> tuple[dict[str, Tensor], list[tuple[str, str]]]:
    """Return the state dict of a checkpoint and what was beside it, with the reason for leaving that out.

    Raises:
        InputError: there is no state dict inside.
    """
    dropped: list[tuple[str, str]] = []
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), dict):
            dropped += [(key, "beside the weights, of use for resuming only") for key in content if key != wrapper]
            content = content[wrapper]
            break
    if not content or not all(isinstance(value, Tensor) for value in content.values()):
        found = ", ".join(list(map(str, content))[:8]) or "nothing"
        raise InputError(
            f"{path}: expected a state dict of tensors, bare or under {' or '.join(WRAPPERS)}; found the keys {found}"
        )
    # A model that was trained on several GPUs carries one prefix on every entry.
    prefix = "module." if all(key.startswith("module.") for key in content) else ""
    return {key[len(prefix) :]: value for key, value in content.items()}, dropped


def rename_all(state: dict[str, Tensor], key_map: KeyMap, ours: dict[str, Tensor]) -> Conversion:
    """Rename every entry of an authors' state dict; ``ours`` is the state dict of the network that shall load it."""
    result = Conversion()
    for key, value in state.items():
        reason = key_map.reason_to_drop(key)
        name = key_map.rename(key)
        if reason is not None:
            result.dropped.append((key, reason))
        elif name is not None and name not in ours and key_map.is_unused(key):
            result.dropped.append((key, "never used by the forward pass, and this network_def does not keep it"))
            result.left_out += value.numel()
        elif name is None or name not in ours:
            result.unexpected.append(key)
        else:
            result.weights[name] = value
    return result


def check_complete(result: Conversion, ours: dict[str, Tensor], path: Path) -> None:
    """Raise ``InputError`` with the lists of missing, unexpected and wrongly shaped entries, if there are any."""
    problems = [f"missing: {key} {tuple(value.shape)}" for key, value in ours.items() if key not in result.weights]
    problems += [f"unexpected: {key}" for key in result.unexpected]
    for key, value in result.weights.items():
        if value.shape != ours[key].shape:
            problems.append(f"wrong shape: {key} is {tuple(value.shape)}, expected {tuple(ours[key].shape)}")
    if problems:
        raise InputError(
            f"{path} does not fit this network ({len(problems)} entries); is it of another variant (--network_def)?\n  "
            + "\n  ".join(problems)
        )


def _parse_overrides(text: str | dict[str, Any] | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        overrides = json.loads(text) if isinstance(text, str) else text
    except json.JSONDecodeError as error:
        raise InputError(
            f"--network_def expects a JSON object such as '{{\"feature_extractor\": false}}': {error}"
        ) from error
    if not isinstance(overrides, dict):
        raise InputError(f"--network_def expects a JSON object, got {text}")
    return overrides


def _report(result: Conversion, network: nn.Module, source: str) -> None:
    print(f"converted {len(result.weights)} entries named as in {source}")
    reasons: dict[str, list[str]] = {}
    for key, reason in result.dropped:
        reasons.setdefault(reason, []).append(key)
    for reason, keys in reasons.items():
        print(f"dropped {len(keys)} ({reason}): {', '.join(keys)}")
    total = sum(p.numel() for p in network.parameters())
    frozen = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    print(f"parameters: {total:,}, of which {frozen:,} never used; left out of the checkpoint: {result.left_out:,}")


def convert(bundle: str, checkpoint: str, output: str, network_def: str | None = None) -> None:
    """Convert an authors' checkpoint to the state dict that a bundle loads.

    Takes a bare state dict or one under ``state_dict`` or ``model_state``, with or without the prefix of a multi-GPU
    training, and never runs code that a checkpoint contains. Every entry is accounted for.

    Args:
        bundle: name of the bundle, for example mambamorph, or a path of one.
        checkpoint: the authors' file.
        output: where to write the state dict, for example bundles/mambamorph/models/model.pt.
        network_def: JSON object that replaces keys of the bundle's network_def and so names a variant, for example
            '{"feature_extractor": false}'.

    Raises:
        InputError: an entry is missing, unexpected or wrongly shaped; a file cannot be read or written.
    """
    source = Path(checkpoint)
    network = build_network(bundle, _parse_overrides(network_def))
    key_map = load_key_map(type(network).__name__)
    ours = network.state_dict()
    state, beside = unwrap(load_checkpoint(source), source)
    result = rename_all(state, key_map, ours)
    result.dropped[:0] = beside
    check_complete(result, ours, source)
    weights = {key: result.weights[key].to(value.dtype).contiguous() for key, value in ours.items()}
    network.load_state_dict(weights, strict=True)
    write_atomically(output, lambda path: torch.save(weights, path))
    _report(result, network, key_map.source)
    print(f"wrote {output}")

"""The network that a bundle describes, built from this project's own library, never from the bundle's copy of it.

Runs in a process of its own, with a limit on time: the arguments come from a foreign configuration. Every parameter is
made without memory first, so that a network of any size costs nothing until its shapes are those of the weights.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.validate.finding import Contents, Finding
from tools.validate.metadata import PATH as METADATA
from tools.validate.metadata import smallest_shape
from tools.validate.weights import PATH as WEIGHTS

SECONDS = 300
_CONFIG = "configs/inference.json"
_LIBRARY = "common.networks."


def check_network(bundle: Contents, seconds: float = SECONDS) -> list[Finding]:
    """Names, shapes and values of the weights, and the tensors that ``metadata.json`` promises.

    Args:
        bundle: its configurations, metadata and weight file have passed the checks without a finding.
        seconds: how long building and one forward pass may take.
    """
    content = json.loads(bundle.files[_CONFIG])["network_def"]
    problem = _definition_problem(content)
    if problem:
        return [Finding(_CONFIG, "network_def", problem, "JSON values and a network of common.networks")]
    with tempfile.TemporaryDirectory() as folder:
        for path in (_CONFIG, METADATA, WEIGHTS):
            if path in bundle.files:
                Path(folder, Path(path).name).write_bytes(bundle.files[path])
        return _run(folder, seconds)


def _run(folder: str, seconds: float) -> list[Finding]:
    command = [sys.executable, "-m", "tools.validate.network", folder]
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return [Finding(_CONFIG, "network_def", f"expected a pass within {seconds:g} seconds", "make it smaller")]
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return [Finding(_CONFIG, "network_def", f"expected a network, got: {last[:300]}", "correct its arguments")]
    return [Finding(**finding) for finding in json.loads(lines[-1])]


def _definition_problem(definition: Any) -> str | None:
    if not isinstance(definition, dict) or not str(definition.get("_target_", "")).startswith(_LIBRARY):
        return "expected a network of this project, got another; its weights cannot be checked without its code"
    texts = [text for text in _texts(definition) if text.startswith(("$", "@", "%"))]
    return f"expected plain values, got {texts[0]}" if texts else None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


def examine(folder: Path) -> list[Finding]:
    """What ``check_network`` does, in this process."""
    import torch

    import common.networks  # noqa: F401  a module imported below would make its own tensors without memory, too
    from common.bundle.folder import Weights

    definition = json.loads((folder / "inference.json").read_text(encoding="utf-8"))["network_def"]
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in _built(definition).state_dict().items()}
    findings = []
    state: dict[str, Any] = {}
    if (folder / "model.pt").is_file():
        state = Weights(folder / "model.pt").state
        findings = [*_names(state, shapes), *_values(state)]
    if findings:
        return findings
    network = _built(definition)
    if state:
        network.load_state_dict(state, strict=True)
    metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    return list(_tensors(network.eval(), metadata["network_data_format"]))


def _built(definition: dict[str, Any]) -> Any:
    from monai.bundle import ConfigParser

    return ConfigParser({"network_def": definition}).get_parsed_content("network_def")


def _names(state: Any, shapes: dict[str, tuple[int, ...]]) -> Iterator[Finding]:
    import torch

    remedy = "these weights are of another network_def: convert or train them for this one"
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        yield Finding(WEIGHTS, "", "expected a state dict of tensors, got something else", "save network.state_dict()")
        return
    for name in sorted(shapes.keys() - state.keys()):
        yield Finding(WEIGHTS, name, "expected this entry, got none", remedy)
    for name in sorted(state.keys() - shapes.keys()):
        yield Finding(WEIGHTS, str(name), "expected no such entry", remedy)
    for name in shapes.keys() & state.keys():
        if tuple(state[name].shape) != shapes[name]:
            reason = f"expected shape {shapes[name]}, got {tuple(state[name].shape)}"
            yield Finding(WEIGHTS, name, reason, remedy)


def _values(state: Any) -> Iterator[Finding]:
    for name, value in state.items() if isinstance(state, dict) else ():
        # isfinite does not know the floating-point numbers of eight bits
        if hasattr(value, "is_floating_point") and value.is_floating_point() and not value.float().isfinite().all():
            yield Finding(WEIGHTS, name, "expected finite numbers, got NaN or infinity", "take another checkpoint")


def _tensors(network: Any, formats: dict[str, Any]) -> Iterator[Finding]:
    """One forward pass at n = p = 1, as MONAI's verify_net_in_out does it."""
    import torch

    given, promised = formats["inputs"]["image"], formats["outputs"]["pred"]
    key = "network_data_format#outputs#pred"
    shape, expected = smallest_shape(given["spatial_shape"]), smallest_shape(promised["spatial_shape"])
    if shape is None or expected is None:
        return
    try:
        with torch.no_grad():
            pred = network(torch.rand(1, given["num_channels"], *shape, dtype=getattr(torch, given["dtype"])))
    except Exception as error:  # whatever a network raises on a size that it does not take
        key = "network_data_format#inputs#image#spatial_shape"
        yield Finding(METADATA, key, f"expected to take {shape}, got: {error}", "say the smallest size, as 16*n+16")
        return
    found = (pred.shape[1], str(pred.dtype).removeprefix("torch."), tuple(pred.shape[2:]))
    wanted = (promised["num_channels"], promised["dtype"], expected)
    for name, is_, said in zip(("num_channels", "dtype", "spatial_shape"), found, wanted, strict=True):
        if is_ != said:
            yield Finding(METADATA, f"{key}#{name}", f"expected {said}, the network gives {is_}", "say what it gives")


if __name__ == "__main__":
    from dataclasses import asdict

    print(json.dumps([asdict(finding) for finding in examine(Path(sys.argv[1]))]))

"""A bundle of this project as a method: its own inference configuration, run as ``python -m monai.bundle run`` does."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError
from tools.peers.base import Images, Peer

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
#: Stages of the pipeline's clock that are the registration itself: neither reading nor measuring nor writing.
_STAGES = ("network_grid", "network", "fixed_grid")


def bundle_names() -> list[str]:
    """Bundles of this checkout that have an inference configuration."""
    return sorted(path.parent.parent.name for path in BUNDLES.glob("*/configs/inference.json"))


def bundle_method(method: str) -> Peer:
    """The bundle as a method of the benchmark.

    Args:
        method: the bundle's name, or ``NAME:PASSES`` for another number of passes than its configuration has.

    Raises:
        InputError: no weights, or no number behind the colon.
    """
    name, _, wanted = method.partition(":")
    if wanted and not wanted.isdigit():
        raise InputError(f"method {method!r}: expected a number of passes behind the colon, got {wanted!r}")
    root = BUNDLES / name
    weights = root / "models" / "model.pt"
    if not weights.is_file():
        raise InputError(f"bundle {name}: expected weights at {weights}, got no such file")
    metadata = json.loads((root / "configs" / "metadata.json").read_text())
    config = json.loads((root / "configs" / "inference.json").read_text())
    passes = int(wanted or config.get("passes", 1))
    title = metadata["name"] + (f", {passes} pass{'es' if passes > 1 else ''}" if wanted else "")
    grid = config.get("spacing", "?")
    settings = f"bundle {metadata['version']}, network grid {grid} mm, passes {passes}, network alone"
    return Peer(method, title, settings, lambda images: _register(root, passes, images))


def bundle_digest(method: str) -> str:
    """First 12 digits of the SHA-256 of a bundle's weights and configuration: a change there means a new record."""
    root = BUNDLES / method.partition(":")[0]
    content = [(root / part).read_bytes() for part in ("models/model.pt", "configs/inference.json")]
    return hashlib.sha256(b"".join(content)).hexdigest()[:12]


def _register(root: Path, passes: int, images: Images) -> np.ndarray:
    """Run the bundle's inference workflow on the pair, without affine alignment, and read the field that it writes."""
    from monai.bundle import ConfigWorkflow

    output = images.folder / "bundle"
    config = root / "configs" / "inference.json"
    overrides: dict[str, Any] = {"fixed": images.fixed_path, "moving": images.moving_path, "output_dir": str(output)}
    overrides["bundle_root"] = str(root)
    known = json.loads(config.read_text())
    # The pairs are aligned: every method starts from the same place.
    for key, value in (("align", False), ("device", "$torch.device('cpu')"), ("passes", passes)):
        if key in known:
            overrides[key] = value
    workflow = ConfigWorkflow(str(config), workflow_type="inference", **overrides)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    metrics = json.loads((output / "metrics.json").read_text())
    images.notes["seconds"] = sum(metrics["seconds"][stage] for stage in _STAGES)
    images.notes["network_seconds"] = metrics["seconds"]["network"]
    images.notes["network_grid"] = metrics["network_grid"]["shape"]
    return images.field_from_file(output / "warp.nii.gz")

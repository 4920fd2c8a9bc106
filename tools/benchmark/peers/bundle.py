"""A bundle of this project as a method: its own inference configuration, run as ``python -m monai.bundle run`` does."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError
from common.spatial.passes import passes_of
from tools.benchmark.peers.base import Images, Peer

BUNDLES = Path(__file__).resolve().parents[3] / "bundles"
#: Stages of the pipeline's clock that are the registration itself: neither reading nor measuring nor writing.
_STAGES = ("network_grid", "network", "fixed_grid")


def bundle_names() -> list[str]:
    """Bundles of this checkout that have an inference configuration."""
    return sorted(path.parent.parent.name for path in BUNDLES.glob("*/configs/inference.json"))


def bundle_method(method: str) -> Peer:
    """The bundle as a method of the benchmark.

    Args:
        method: the bundle's name, or ``NAME:PASSES`` for other passes than its configuration has, such as
            ``mambamorph:2-1``.

    Raises:
        InputError: no weights, or no passes behind the colon.
    """
    name, _, wanted = method.partition(":")
    if not all(word.isdigit() for word in wanted.split("-") if wanted):
        raise InputError(f"method {method!r}: expected passes such as 2-1 behind the colon, got {wanted!r}")
    root = BUNDLES / name
    weights = root / "models" / "model.pt"
    if not weights.is_file():
        raise InputError(f"bundle {name}: expected weights at {weights}, got no such file")
    metadata = json.loads((root / "configs" / "metadata.json").read_text())
    config = json.loads((root / "configs" / "inference.json").read_text())
    passes = passes_of([int(word) for word in wanted.split("-")] if wanted else config.get("passes", 1))
    grids = ", then ".join(f"{factor * config['spacing']:g} mm" for factor in passes)
    title = metadata["name"] + (f" at {grids}" if wanted else "")
    settings = f"bundle {metadata['version']}, network at {grids}, network alone"
    return Peer(method, title, settings, lambda images: _register(root, passes, images))


def bundle_digest(method: str) -> str:
    """First 12 digits of the SHA-256 of a bundle's weights and configuration: a change there means a new record."""
    root = BUNDLES / method.partition(":")[0]
    content = [(root / part).read_bytes() for part in ("models/model.pt", "configs/inference.json")]
    return hashlib.sha256(b"".join(content)).hexdigest()[:12]


def _register(root: Path, passes: list[int], images: Images) -> np.ndarray:
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

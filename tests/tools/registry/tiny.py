"""A whole bundle of a few kilobytes: VoxelMorph's configuration around a network of four channels."""

import json
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from tools.registry.install import read_manifest

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "bundles" / "voxelmorph"
LICENCES = {"code": "Apache-2.0", "weights": "Apache-2.0", "data": "Apache-2.0"}
NETWORK = {"feature_extractor": False, "unet_encoder": [4] * 4, "unet_decoder": [4] * 6}


@cache
def weights() -> bytes:
    """The state dict of the tiny network as ``torch.save`` writes it."""
    import torch

    from common.networks import VoxelMorph

    torch.manual_seed(0)
    buffer = BytesIO()
    torch.save(VoxelMorph(**NETWORK).state_dict(), buffer)
    return buffer.getvalue()


def metadata(version: str = "0.1.0", **changes: Any) -> dict[str, Any]:
    content = json.loads((SOURCE / "configs" / "metadata.json").read_text(encoding="utf-8"))
    own = {"name": "Tiny", "version": version, "changelog": {version: "first version"}, "licenses": LICENCES}
    return {**content, **own, **changes}


def make_bundle(folder: Path, version: str = "0.1.0", **changes: Any) -> Path:
    """Write the bundle's files.

    Args:
        folder: its name is the bundle's.
        version: of ``metadata.json``.
        changes: further keys of ``metadata.json``.
    """
    inference = json.loads((SOURCE / "configs" / "inference.json").read_text(encoding="utf-8"))
    inference |= {"bundle_name": "Tiny", "network_def": {**inference["network_def"], **NETWORK}}
    files = {
        "LICENSE": (SOURCE / "LICENSE").read_bytes(),
        "docs/README.md": (SOURCE / "docs" / "README.md").read_bytes(),
        "configs/metadata.json": json.dumps(metadata(version, **changes), indent=4).encode(),
        "configs/inference.json": json.dumps(inference, indent=4).encode(),
        "models/model.pt": weights(),
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def installed_version(folder: Path) -> str | None:
    """Version of the tiny bundle that is installed in a folder."""
    record = read_manifest(folder / "tiny")
    return record.version if record else None

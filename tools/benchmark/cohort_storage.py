"""What results take on disk: the files of a pair, and its field at other spacings and in other types."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.images import read_field

#: Multiples of the fixed image's spacing, and types, that the field is stored with to see what that costs.
FACTORS, TYPES = (1, 2, 4), ("float32", "float16")


def measure_storage(folders: Sequence[Path]) -> dict[str, Any]:
    """Sizes of finished results; empty where there are none.

    Args:
        folders: of the pairs.

    Returns:
        ``voxels`` of the first fixed image, ``files`` (mean bytes a pair by name), and ``fields``: for each spacing and
        type the bytes of the first pair's field, gzipped at level 6, and how far it is off when read back (mm).
    """
    done = [folder for folder in folders if (folder / "metrics.json").is_file()]
    if not done:
        return {}
    sizes: dict[str, list[int]] = {}
    for folder in done:
        for path in folder.iterdir():
            sizes.setdefault(path.name, []).append(path.stat().st_size)
    vectors, grid = read_field(done[0] / "warp.nii.gz")
    return {
        "pairs": len(done),
        "voxels": int(np.prod(grid.shape)),
        "spacing_mm": float(np.mean(grid.spacing)),
        "files": {name: sum(found) / len(done) for name, found in sorted(sizes.items())},
        "fields": [_stored(vectors, factor, kind) for factor in FACTORS for kind in TYPES],
    }


def _stored(vectors: torch.Tensor, factor: int, kind: str) -> dict[str, Any]:
    """A field (3, X, Y, Z) in mm, on blocks of ``factor`` voxels in a type, against itself."""
    whole = vectors[None]
    x, y, z = whole.shape[2:]
    small = torch.nn.functional.interpolate(
        whole, size=[-(-n // factor) for n in (x, y, z)], mode="trilinear", align_corners=True
    )
    values = small.numpy().astype(kind)
    back = torch.nn.functional.interpolate(
        torch.from_numpy(values.astype(np.float32)), size=[x, y, z], mode="trilinear", align_corners=True
    )
    off = (back - whole).norm(dim=1)
    return {
        "factor": factor,
        "type": kind,
        "bytes": len(gzip.compress(values.tobytes(), 6)),
        "mean_error_mm": float(off.mean()),
        "largest_error_mm": float(off.max()),
    }

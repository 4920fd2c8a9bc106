"""Brain extraction from MR heads by deepbet (Fisch et al., arXiv:2308.07003, 2023; MIT), an extra.

Its two networks are TorchScript archives in its wheel. They are hashed before PyTorch opens them, and what was hashed
is what is loaded: a file that is not the one of the pinned version is refused, never run. Of the package only the part
without its graphical interface is imported.
"""

import importlib.util
import io
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from common import places
from common.geometry.affines import Array

#: What to install where it is missing; the version whose networks are known.
EXTRA = "pip install 'registration-bundles[brain]'"
VERSION = "1.0.2"
#: SHA-256 of the networks that find the brain's box and its outline.
DIGESTS = {
    "bbox_model.pt": "39a7b2b5f799faa1391ea97bfcdc0b9299f20d84f2316a4ff8918dc4685e40aa",
    "model.pt": "de8ee7c69654d0dd3935dc4a5d84571d8ecf4637a6bfc01df399c4c2bc86e0fd",
}


def is_installed() -> bool:
    """Whether deepbet and what its inference needs are here."""
    return all(importlib.util.find_spec(name) for name in ("deepbet", "fill_voids", "cc3d", "pandas"))


def extract_by_network(volume: NDArray, affine: Array) -> NDArray[np.bool_]:
    """Find the brain in an MR head: T1 above all, also T2 and proton density.

    Args:
        volume: (X, Y, Z).
        affine: (4, 4), RAS.

    Returns:
        (X, Y, Z), empty where none was found.

    Raises:
        InputError: the networks are not those of the version that is known.
    """
    image = nib.Nifti1Image(np.asarray(volume, dtype=np.float32), affine)
    try:
        _, mask, _ = _networks().run(image)
    except (AssertionError, ValueError):  # how deepbet says that it found nothing
        return np.zeros(volume.shape, dtype=bool)
    return np.asarray(mask.dataobj) > 0


@cache
def _networks() -> Any:
    from deepbet.bet import BrainExtraction

    folder = Path(importlib.util.find_spec("deepbet").origin).parents[1] / "data" / "models"  # type: ignore
    files = {name: read_known(folder / name, digest) for name, digest in DIGESTS.items()}
    return BrainExtraction(no_gpu=True, model_path=files["model.pt"], bbox_model_path=files["bbox_model.pt"])


def read_known(path: Path, digest: str) -> io.BytesIO:
    """The content of a file, if it is the one that is known.

    Raises:
        InputError: there is no such file, or it is another one.
    """
    what = f"deepbet's network of version {VERSION}"
    return io.BytesIO(places.read_known(path, digest, what, f"; install it anew: {EXTRA}"))

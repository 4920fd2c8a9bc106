"""Load the images of a pair: MONAI's readers, with errors that say what is wrong."""

import time
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import ITKReader, MetaTensor, NibabelReader
from monai.transforms import LoadImage, MapTransform

from common.errors import InputError
from common.registration.clock import stage
from common.registration.headers import READ_ERRORS, is_nibabel_file, read_header, three_dimensional

#: Keys of a pair that hold label maps, all optional.
LABEL_KEYS = ("fixed_label", "moving_label")


def load_image(path: str, role: str) -> MetaTensor:
    """Load one 3-D image.

    Args:
        path: NIfTI, MGH, NRRD, MHA, or a folder with one DICOM series.
        role: what the image is in the pair, for errors.

    Returns:
        (1, X, Y, Z) float32, scaled by the file's slope and intercept, in the file's own axis order. Its meta holds
        ``affine`` (RAS) and ``filename_or_obj`` only: a reader's other entries differ by format and do not collate.

    Raises:
        InputError: as ``read_header``, and for voxels that are cut short or damaged.
    """
    header = read_header(path, role)
    # ITK's Python wheels wrap few pixel types; read as float they all work. Labels are exact up to 2^24.
    reader = NibabelReader() if is_nibabel_file(path) else ITKReader(pixel_type=_itk_float())
    try:
        # To the constructor it is then the only reader to look for; to the call, so that its own errors come through.
        volume = LoadImage(reader=reader, image_only=True, dtype=np.float32)(path, reader=reader)
    except READ_ERRORS as error:
        lines = str(error).strip().splitlines() or ["no further text"]
        raise InputError(
            f"{role} image {path}: expected a complete image, got a truncated or damaged one "
            f"({type(error).__name__}: {lines[0]})"
        ) from error
    shape = three_dimensional(tuple(volume.shape), f"{role} image {path}")
    array = volume.as_tensor().reshape(1, *shape).contiguous()
    affine = torch.from_numpy(header.grid.affine.copy())
    return MetaTensor(array, affine=affine, meta={"filename_or_obj": str(path)})


def _itk_float() -> Any:
    import itk

    return itk.F


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value)


class LoadPaird(MapTransform):
    """Load ``fixed`` and ``moving``, and the label maps among ``LABEL_KEYS`` that the dictionary has.

    Each becomes a (1, X, Y, Z) float32 ``MetaTensor`` in its file's own axis order. See ``load_image`` for errors.
    """

    def __init__(self, keys: KeysCollection = ("fixed", "moving")) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace the paths by images."""
        # None does not collate, and an empty path stands for one that was not given.
        out = {key: value for key, value in data.items() if not _empty(value)}
        out["clock"] = {"start": time.perf_counter()}
        with stage(out, "load"):
            for key in (*self.keys, *(key for key in LABEL_KEYS if key in out)):
                if key not in out:
                    raise InputError(f"expected a path under the key {key!r}, got only {sorted(map(str, out))}")
                out[key] = load_image(out[key], str(key))
        return out

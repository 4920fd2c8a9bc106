"""Slices of a result in the three planes, as small JPEG pictures.

Neurological order: the left side of a picture is the left side of the patient.
"""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.report.result import Result

#: Name and axis of each plane, in RAS order.
PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
#: Longest side of a slice in pixels, and the quality of its JPEG.
LONGEST, QUALITY = 320, 78
#: How many slices a plane has where there is room, and what is tried where there is not.
COUNTS = (24, 16, 12, 8, 5, 3)
#: Characters that all slices of a report may take: its other pictures need the rest of its 6 MB.
ROOM = 3_400_000


def cut(volume: NDArray, result: Result, axis: int, index: int) -> NDArray:
    """One slice of a volume (X, Y, Z) within the result's box, its first row on top. -> (rows, columns)."""
    inside = volume[result.box]
    return np.take(inside, index - result.box[axis].start, axis).T[::-1]


def pixel_size(result: Result, axis: int) -> tuple[float, float]:
    """Millimetres of a slice's pixel: height, width."""
    first, second = (k for k in range(3) if k != axis)
    return float(result.spacing[second]), float(result.spacing[first])


def jpeg(picture: NDArray, size: tuple[float, float] = (1.0, 1.0), longest: int = LONGEST) -> bytes:
    """A picture in [0, 1], (rows, columns) grey or (rows, columns, 3), as JPEG with square pixels.

    Args:
        picture: what to encode.
        size: millimetres of a pixel: height, width.
        longest: pixels that the longer side has at most; small pictures grow to half of that.
    """
    from PIL import Image

    image = Image.fromarray(np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8))
    extent = np.array([picture.shape[1] * size[1], picture.shape[0] * size[0]])
    scale = np.clip(1 / min(size), longest / 2 / extent.max(), longest / extent.max())
    width, height = (max(1, int(n)) for n in np.round(extent * scale))
    file = io.BytesIO()
    image.resize((width, height), Image.Resampling.BILINEAR).save(file, "JPEG", quality=QUALITY, optimize=True)
    return file.getvalue()


def data_uri(content: bytes, kind: str = "image/jpeg") -> str:
    """The content of a file as an address, so that a page needs no other file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def slice_indices(result: Result, axis: int, count: int) -> list[int]:
    """At most ``count`` slices through the box, without its empty margin; the middle one of the foreground is one."""
    part = result.box[axis]
    margin = round(0.08 * (part.stop - part.start))
    spread = np.linspace(part.start + margin, part.stop - 1 - margin, count)
    nearest = int(np.argmin(np.abs(spread - result.centre[axis])))
    spread[nearest] = result.centre[axis]
    return sorted({round(float(place)) for place in spread})


def slice_stacks(result: Result, counts: tuple[int, ...] = COUNTS, room: int = ROOM) -> list[dict[str, Any]]:
    """Slices of every image in every plane: as many as there is room for.

    Returns:
        For each plane ``name``, ``middle`` (place of the middle slice in the lists), ``indices`` and ``layers``: data
        addresses by image.
    """
    for count in counts:
        stacks = [_stack(result, name, axis, count) for name, axis in PLANES.items()]
        taken = sum(len(uri) for stack in stacks for uris in stack["layers"].values() for uri in uris)
        if taken <= room:
            break
    return stacks


def _stack(result: Result, name: str, axis: int, count: int) -> dict[str, Any]:
    indices, size = slice_indices(result, axis, count), pixel_size(result, axis)
    layers = {
        layer: [data_uri(jpeg(cut(volume, result, axis, index), size)) for index in indices]
        for layer, volume in result.images.items()
    }
    return {"name": name, "middle": indices.index(result.centre[axis]), "indices": indices, "layers": layers}

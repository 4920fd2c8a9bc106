"""From an image's own intensities to [0, 1]: the range that a network sees, whatever padding and metal add to it.

For ordinary images it is the minimum and the maximum of the file, as the papers scale. Values far beyond the bulk of
the foreground are clipped. CT is cut to a window of Hounsfield units first, as the training images were.
"""

import logging
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch

from common.errors import InputError
from common.geometry import bulk_range, looks_like_ct
from common.registration.foreground import foreground_of

logger = logging.getLogger(__name__)

#: Hounsfield units of soft tissue in a head: the training images' window.
CT_WINDOW = (0.0, 80.0)
#: Quantiles of the foreground between which its bulk lies.
BULK = (0.005, 0.995)
Window = tuple[float, float]


def window_for(option: Any, role: str, ct: bool) -> Window | None:
    """The window of one image by the option ``window``.

    Args:
        option: ``auto``; ``none``; two values, for images that are CT; or a dictionary of roles and values, which holds
            whatever the image is.
        role: ``fixed`` or ``moving``.
        ct: whether the image is taken for CT.

    Raises:
        InputError: none of these.

    >>> window_for("auto", "fixed", True), window_for([0, 100], "fixed", False)
    ((0.0, 80.0), None)
    >>> window_for({"moving": [0, 100]}, "moving", False)
    (0.0, 100.0)
    """
    if isinstance(option, Mapping):
        if unknown := set(option) - {"fixed", "moving"}:
            raise InputError(f"window: expected the roles fixed and moving, got {', '.join(map(str, unknown))}")
        return _values(option[role]) if role in option else window_for("auto", role, ct)
    if option is None or str(option).lower() == "none":
        return None
    window = CT_WINDOW if option == "auto" else _values(option)
    return window if ct else None


def _values(window: Any) -> Window:
    try:
        low, high = (float(value) for value in window)
    except (TypeError, ValueError) as error:
        raise InputError(f"window: expected auto, none or two values such as [0, 80], got {window!r}") from error
    if not low < high:
        raise InputError(f"window: expected a lower and a higher value, got {window!r}")
    return low, high


def range_of(data: dict[Hashable, Any], role: str, option: Any = "auto") -> tuple[float, float]:
    """The intensities of ``data[role]``, (1, X, Y, Z), that become 0 and 1; written to ``<role>_range`` once.

    A window that was chosen by itself is said aloud. See ``window_for`` for the option and its errors.
    """
    key = f"{role}_range"
    if key not in data:
        image = data[role]
        volume = image[0].numpy()
        ct = image.meta.get("modality") == "CT" or looks_like_ct(volume)
        window = window_for(option, role, ct)
        if ct and window is not None and option == "auto":
            words = "%s image %s is taken for CT: %g to %g HU are used; --window sets others"
            logger.warning(words, role, image.meta["filename_or_obj"], *window)
        asked_for = window is not None and option != "auto"
        limits = window if asked_for else _range(volume, foreground_of(data, role), window)
        data[key] = torch.tensor(limits, dtype=torch.float64)
    low, high = data[key].tolist()
    return low, high


def _range(volume: np.ndarray, mask: np.ndarray, window: Window | None) -> tuple[float, float]:
    """Least and greatest value of the image, but for what lies far beyond the bulk of its foreground (X, Y, Z)."""
    if window is not None:
        shown = np.clip(volume[mask], *window)
        high = bulk_range(shown, BULK)[1]
        return window[0], high if high > window[0] else window[1]
    whole = float(volume.min()), float(volume.max())
    low, high = bulk_range(volume[mask], BULK)
    # Air is darker than tissue by less than tissue is bright: a background further down is padding. No signal is 0.
    ordinary = whole[0] >= low - (high - low)
    return (whole[0] if ordinary else min(low, 0.0)), high


def held(volume: torch.Tensor, data: Mapping[Hashable, Any], role: str) -> torch.Tensor:
    """A volume held to the range of ``data[role]`` where that is known: for figures that outliers would rule."""
    return volume.clamp(*data[f"{role}_range"].tolist()) if f"{role}_range" in data else volume

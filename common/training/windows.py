"""Windows of a grid: the part that a training step looks at."""

from collections.abc import Sequence

import torch

from common.data.augment import uniform
from common.errors import InputError


def check_window(name: str, window: Sequence[int], shape: Sequence[int]) -> None:
    """Raise ``InputError`` unless a window has three sides inside of the grid."""
    if len(window) != len(shape) or any(not 0 < width <= n for width, n in zip(window, shape, strict=True)):
        raise InputError(f"{name} expects a window inside of the grid {tuple(shape)}, got {list(window)}")


def random_corner(shape: Sequence[int], window: Sequence[int], generator: torch.Generator) -> list[int]:
    """Draw the corner of a window. The mean of two draws: more often in the middle, where most structures are."""
    return [
        int((uniform(generator, 0, n - width + 1) + uniform(generator, 0, n - width + 1)) / 2)
        for n, width in zip(shape, window, strict=True)
    ]

"""Fixed sine and cosine code of token positions."""

import torch
from torch import Tensor


def _axis_code(size: int, width: int, device: torch.device) -> Tensor:
    """Return (size, width): the sines of all frequencies, then the cosines, of the positions 0 .. size - 1."""
    exponent = torch.arange(0, width, 2, dtype=torch.float32, device=device) / width
    angle = torch.arange(size, dtype=torch.float32, device=device)[:, None] * 10000.0**-exponent
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def sincos_position(size: tuple[int, int, int], channels: int, device: torch.device) -> Tensor:
    """Return the position code of every token of a grid, computed for its size and never stored.

    Each axis gets an even share of the channels, 2 * ceil(channels / 6), in the order of the axes; the last axis is cut
    where the shares exceed ``channels``. Within an axis all sines come before all cosines (they are not interleaved).

    Args:
        size: tokens along each axis.
        channels: width of a token.
        device: where to make it.

    Returns:
        (*size, channels), float32.
    """
    width = 2 * -(-channels // 6)
    parts = []
    for axis, n in enumerate(size):
        view = [1, 1, 1, width]
        view[axis] = n
        parts.append(_axis_code(n, width, device).view(view).expand(*size, width))
    return torch.cat(parts, dim=-1)[..., :channels]

"""Inference on a CPU: a 3x3x3 convolution written over its own input, band by band.

Fresh memory is dear: the system hands it out page by page, filled with zeros, and at full resolution that takes as long
as the convolution's own arithmetic. Where nobody reads the input any more and the widths agree, the result takes its
place: a band's result waits until the next band, which reads its last plane, is done.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from common.convolution.base import fits, split

_SMALLEST = 2**24  # bytes of a volume; up to here the memory is reused anyway
_BAND = 2**23  # bytes of a band's result
_PYTORCH_SLOW = 20480  # numbers in a band but for its last axis, up to which PyTorch does not take its fast convolution


def conv_over(
    x: Tensor, weight: Tensor, bias: Tensor | None, slope: float = 1.0, total: Tensor | None = None
) -> Tensor:
    """3x3x3 convolution, then LeakyReLU; ``x`` may be overwritten with the result.

    Args:
        x: (B, C, X, Y, Z), not to be read afterwards.
        weight: (O, C, 3, 3, 3).
        bias: (O,) or None.
        slope: of the LeakyReLU; 1 means none.
        total: (B, O, X, Y, Z), overwritten by itself plus the result; for a sum of convolutions.

    Returns:
        (B, O, X, Y, Z): the result, or ``total``.
    """
    target = x if total is None else total
    rows = _band_rows(x, weight, target)
    if not rows:
        out = F.conv3d(x, weight, bias, padding=1)
        out = F.leaky_relu_(out, slope) if slope != 1.0 else out
        return out if total is None else total.add_(out)
    weight = weight.to(x.dtype)
    for volume, goal in zip(x.split(1), target.split(1), strict=True):
        waiting: tuple[Tensor, Tensor] | None = None
        for first, last in split(x.shape[2], x.shape[2] // rows):
            band = _conv_rows(volume, weight, bias, first, last)
            band = F.leaky_relu_(band, slope) if slope != 1.0 else band
            if waiting is not None:
                _put(*waiting, total is not None)
            waiting = goal[:, :, first:last], band
        assert waiting is not None
        _put(*waiting, total is not None)
    return target


def _band_rows(x: Tensor, weight: Tensor, target: Tensor) -> int:
    """Least rows of a band along the first axis, or 0 where the whole volume has to be convolved at once."""
    width, channels = weight.shape[:2]
    kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    same = target.shape[1] == width and target.dtype == kind == x.dtype
    if torch.is_grad_enabled() or not same or not fits(x, width):
        return 0
    plane = x.shape[3] * x.shape[4] * width * x.element_size()
    rows = max(_BAND // plane, _PYTORCH_SLOW // (channels * x.shape[3]) + 1)
    large = plane * x.shape[2] > _SMALLEST and x.shape[2] >= 4 * rows
    ordered = all(t.is_contiguous(memory_format=torch.channels_last_3d) for t in (x, target))
    return rows if large and ordered else 0


def _conv_rows(x: Tensor, weight: Tensor, bias: Tensor | None, first: int, last: int) -> Tensor:
    """The rows first .. last of the convolution of x (1, C, X, Y, Z)."""
    low, high = max(first - 1, 0), min(last + 1, x.shape[2])
    end = low == first or high == last
    band = F.conv3d(x[:, :, low:high], weight, bias, padding=(1 if end else 0, 1, 1))
    # At an end of the volume the border of zeros is on both sides, and the row at the other side is wrong.
    return band[:, :, first - low : last - low] if end else band


def _put(goal: Tensor, band: Tensor, add: bool) -> None:
    goal.add_(band) if add else goal.copy_(band)

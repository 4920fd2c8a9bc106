"""The registration losses that MONAI lacks or computes too slowly on a CPU; the others are MONAI's own.

``LocalCorrelationLoss`` gives the values of ``monai.losses.LocalNormalizedCrossCorrelationLoss`` (rectangular window)
at a third of its CPU time, because a box sum needs few additions and is its own adjoint; ``GradientLoss`` is the
forward-difference smoothness of the VoxelMorph family, where MONAI's ``DiffusionLoss`` takes central differences.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.switches import reads_switches


def window_sum(x: Tensor, width: int, axis: int) -> Tensor:
    """Sum over ``width`` neighbours along one axis, zeros outside, by doubling: 9 = 8 + 1 costs four additions."""
    size, radius = x.shape[axis], width // 2
    padding = [0] * (2 * (x.dim() - axis))
    padding[-2:] = [radius, radius]
    block = F.pad(x, padding)
    total, offset, length = None, 0, 1
    while width:
        if width & 1:
            piece = block.narrow(axis, offset, size)
            total = piece if total is None else total + piece
            offset += length
        width >>= 1
        if width:
            block = block.narrow(axis, 0, block.shape[axis] - length) + block.narrow(
                axis, length, block.shape[axis] - length
            )
            length *= 2
    assert total is not None
    return total


class _BoxSum(torch.autograd.Function):
    """Sum over cubic windows; with an odd width it is its own adjoint, so that its gradient is a box sum again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, width: int) -> Tensor:
        ctx.width = width
        for axis in (2, 3, 4):
            x = window_sum(x, width, axis)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        for axis in (2, 3, 4):
            gradient = window_sum(gradient, ctx.width, axis)
        return gradient, None


@reads_switches
class LocalCorrelationLoss(nn.Module):
    """Negative mean of the squared local correlation over cubic windows (Avants et al. 2008; VoxelMorph's NCC).

    Args:
        kernel_size: width of the window in voxels, odd; 9 in the papers (MONAI's default is 3).
        smooth_dr: least window-summed variance, as in MONAI: flat windows count as uncorrelated.
        epsilon_on_product: add ``smooth_dr`` to the product of both variances instead, as VoxelMorph's, XMorpher's and
            PSMamba-Net's code does. Windows of nearly no contrast, such as noise of 0.001, then count less.
    """

    def __init__(self, kernel_size: int = 9, smooth_dr: float = 1e-5, epsilon_on_product: bool = False) -> None:
        super().__init__()
        if kernel_size % 2 == 0 or kernel_size < 1:
            raise ValueError(f"LocalCorrelationLoss expects an odd kernel_size, got {kernel_size}")
        self.kernel_size, self.smooth_dr, self.epsilon_on_product = kernel_size, smooth_dr, epsilon_on_product

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the loss of ``pred`` against ``target``, both (B, C, X, Y, Z); -1 is perfect, 0 is unrelated."""
        if pred.shape != target.shape:
            raise ValueError(f"LocalCorrelationLoss expects one shape, got {tuple(pred.shape)}, {tuple(target.shape)}")
        if pred.dtype not in (torch.float32, torch.float64):
            pred = pred.float()
        target = target.to(pred.dtype)
        volume = float(self.kernel_size**3)
        with torch.autocast(pred.device.type, enabled=False):
            p_sum, pp_sum, pt_sum = _BoxSum.apply(
                torch.cat([pred, pred * pred, pred * target]), self.kernel_size
            ).chunk(3)
            t_sum, tt_sum = _BoxSum.apply(torch.cat([target, target * target]), self.kernel_size).chunk(2)
            cross = pt_sum - p_sum * t_sum / volume
            t_variance, p_variance = tt_sum - t_sum * t_sum / volume, pp_sum - p_sum * p_sum / volume
            if self.epsilon_on_product:
                # Rounding leaves variances a little below zero, which the authors' code multiplies as they are.
                product = t_variance.clamp_min(0) * p_variance.clamp_min(0) + self.smooth_dr
            else:
                product = t_variance.clamp_min(self.smooth_dr) * p_variance.clamp_min(self.smooth_dr)
            return -(cross * cross / product).mean()


class GradientLoss(nn.Module):
    """Mean squared forward difference of a field: mean per axis, averaged over the three axes (VoxelMorph's Grad-l2).

    Args:
        factor: multiplies the result. The MambaMorph scripts pass ``loss_mult = int_downsize = 2`` here, so that their
            weight 0.1 acts as 0.2.
    """

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, field: Tensor) -> Tensor:
        """Return the loss of a field (B, 3, X, Y, Z) in voxels."""
        squares = [torch.diff(field.float(), dim=axis).square().mean() for axis in (2, 3, 4)]
        return self.factor * (squares[0] + squares[1] + squares[2]) / 3.0


class SoftDiceLoss(nn.Module):
    """Minus the mean soft Dice of label maps under a warp, as the MambaMorph scripts define it.

    Per class ``2 sum(ab) / max(sum(a + b), 1e-5)``; the mean over classes and batch, negated. MONAI's ``DiceLoss``
    wants every class each time; this one can look at a few classes a step.

    Args:
        classes: label values that count (background and ignored ones left out).
        classes_per_step: draw that many of them at random at each call in training; ``None`` takes all. The
            expectation is the full loss, the time is proportional.
    """

    def __init__(self, classes: Sequence[int], classes_per_step: int | None = None) -> None:
        super().__init__()
        self.classes: Tensor
        self.register_buffer("classes", torch.as_tensor(list(classes), dtype=torch.long), persistent=False)
        self.classes_per_step = classes_per_step

    def choose(self) -> Tensor:
        """Return the label values of this step, drawn from torch's global generator."""
        count = self.classes_per_step
        if count is None or not self.training or count >= len(self.classes):
            return self.classes
        return self.classes[torch.randperm(len(self.classes))[:count].to(self.classes.device)]

    @staticmethod
    def one_hot(label: Tensor, classes: Tensor) -> Tensor:
        """Turn indices (B, 1, X, Y, Z) into (B, K, X, Y, Z) float maps of the ``classes``."""
        return (label == classes.to(label.dtype).view(1, -1, 1, 1, 1)).float()

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the loss of two maps (B, K, X, Y, Z), one of which is a warped one-hot map."""
        overlap = 2.0 * (pred * target).sum((2, 3, 4))
        mass = (pred.sum((2, 3, 4)) + target.sum((2, 3, 4))).clamp_min(1e-5)
        return -(overlap / mass).mean()

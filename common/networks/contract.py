"""What every network takes: a pair (B, 2, X, Y, Z), channel 0 moving, channel 1 fixed, of a size that fits."""

import torch
from monai.data import MetaTensor
from torch import Tensor

from common.errors import InputError


def check_pair_shape(pair: Tensor, multiple: int, name: str, smallest: int = 1) -> None:
    """Raise ``InputError`` unless ``pair`` is (B, 2, X, Y, Z), its sides multiples of ``multiple`` and large enough."""
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return
    shape, smallest = tuple(pair.shape), max(smallest, multiple)
    if pair.dim() != 5 or pair.shape[1] != 2 or any(n < smallest or n % multiple for n in shape[2:]):
        raise InputError(
            f"{name} expects a pair (B, 2, X, Y, Z) with moving and fixed as channels and sides that are multiples "
            f"of {multiple} and at least {smallest}, got {shape}"
        )


def without_metadata(pair: Tensor) -> Tensor:
    """Return a plain tensor: MONAI's ``MetaTensor`` would follow every operation."""
    # Not ``as_subclass`` for every tensor: ``torch.export`` takes its result for a constant.
    return pair.as_tensor() if isinstance(pair, MetaTensor) else pair

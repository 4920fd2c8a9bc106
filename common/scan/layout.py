"""What results look like: the dtype of the state, and memory laid out as the input's."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def state_dtype(u: Tensor) -> torch.dtype:
    """The dtype of the state: float64 for a float64 input, float32 for all others."""
    return torch.float64 if u.dtype == torch.float64 else torch.float32


def empty_like_sequence(u: Tensor) -> Tensor:
    """Return an uninitialised (batch, channels, L) tensor laid out as u: channel-last where u is, else contiguous."""
    batch, channels, length = u.shape
    if u.stride(1) == 1 and channels > 1 and length > 1:
        return u.new_empty(batch, length, channels).transpose(1, 2)
    return u.new_empty((batch, channels, length))


def empty_like_volume(volume: Tensor) -> Tensor:
    """Return an uninitialised (batch, channels, X, Y, Z) tensor, channels last in memory where the volume's are."""
    return empty_like_sequence(volume.flatten(2)).unflatten(2, volume.shape[2:])


def laid_out(tensor: Tensor, model: Tensor) -> Tensor:
    """Return the tensor with exactly the strides and dtype of the model, copied only where they differ."""
    if tensor.dtype == model.dtype and tensor.stride() == model.stride():
        return tensor
    return model.copy_(tensor)


def in_order(
    found: Mapping[str, Tensor], names: Sequence[str], given: Sequence[Tensor | None], models: Sequence[Tensor]
) -> list[Tensor]:
    """Return the tensors of these names, each laid out as its model; the model itself where none was given."""
    return [
        model if tensor is None else laid_out(found[name], model)
        for name, tensor, model in zip(names, given, models, strict=True)
    ]

"""How a run starts: the layers' first weights, and learning rates of their own for single layers.

Two things keep some networks at the identity, or throw them off it, when a training is short.

Signal. PyTorch's default draws a convolution with gain 1/sqrt(3): a dozen layers without norms let a thousandth of the
input through. ``kaiming`` draws every convolution with the gain of its LeakyReLU (He et al., ICCV 2015).

Steps in millimetres. Adam moves every weight by about the learning rate, whatever its gradient. A head with n inputs
then moves its field by about n times the rate a step, in voxels of its own grid. In a pyramid such as PSMamba-Net's,
whose deepest head has 16 times the inputs of the finest and voxels 16 times as wide, one step at 3e-4 is 6 voxels of
the image there and 0.02 voxels at the top: the deep head follows the last pair's mean shift and validation falls below
the affine start. ``rate_factors`` gives such layers rates of their own.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from common.errors import InputError

NEAR_ZERO = 1e-3  # a linear layer below this deviation was started at zero on purpose
HEAD_DEVIATION = 1e-5


def initialise(network: nn.Module, how: str, device: str | torch.device = "cpu") -> nn.Module:
    """Draw the first weights anew and return the network on a device, its convolutions laid out for speed.

    Args:
        network: any of the zoo's networks; frozen layers keep their weights.
        how: ``published`` keeps what the constructor drew, as the authors' code does. ``kaiming`` draws every
            convolution with Kaiming's normal deviation for LeakyReLU 0.2 and bias 0; layers with three output
            channels, the heads, get N(0, 1e-5), so that training starts at the identity; linear layers whose weights
            start near zero get the same deviation as convolutions; all others stay.
        device: where the network trains.

    Raises:
        InputError: another word.
    """
    if how not in ("published", "kaiming"):
        raise InputError(f"initialisation: expected published or kaiming, got {how!r}")
    if how == "kaiming":
        for module in network.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d) and module.weight.requires_grad:
                _draw_convolution(module)
            elif isinstance(module, nn.Linear) and module.weight.requires_grad and module.weight.std() < NEAR_ZERO:
                nn.init.kaiming_normal_(module.weight, a=0.2)
    return network.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


@torch.no_grad()
def _draw_convolution(layer: nn.Conv3d | nn.ConvTranspose3d) -> None:
    if isinstance(layer, nn.ConvTranspose3d):
        # With a stride as wide as the kernel, each output voxel is a sum over the input channels alone.
        layer.weight.normal_(0.0, (2 / (1 + 0.2**2) / layer.in_channels) ** 0.5)
    elif layer.out_channels == 3:
        layer.weight.normal_(0.0, HEAD_DEVIATION)
    else:
        nn.init.kaiming_normal_(layer.weight, a=0.2)
    if layer.bias is not None:
        layer.bias.zero_()


def parameter_groups(network: nn.Module, rate_factors: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the trainable parameters for an optimizer, grouped by learning rate.

    Args:
        network: whose parameters are trained.
        rate_factors: start of a parameter's name -> factor on its learning rate; 1 where none fits. ``PolynomialRate``
            reads it from the group's ``rate_factor``.

    Raises:
        InputError: no trainable parameter's name starts so.
    """
    named = {name: p for name, p in network.named_parameters() if p.requires_grad}
    groups = []
    for start, factor in rate_factors.items():
        fitting = [name for name in named if name == start or name.startswith(start + ".")]
        if not fitting:
            raise InputError(f"rate_factors: expected the start of a trainable parameter's name, got {start!r}")
        groups.append({"params": [named.pop(name) for name in fitting], "rate_factor": float(factor)})
    rest = list(named.values())
    return [{"params": rest, "rate_factor": 1.0}, *groups]

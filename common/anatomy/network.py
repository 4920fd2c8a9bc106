"""The network that tells a brain's structures in several contrasts, and its weights, which come with the package.

Source of the idea: Billot et al., "SynthSeg", MedIA 2023: a U-Net that has seen label maps painted in random contrasts
works on others. The network is MONAI's; the weights are this project's own, trained on the kit's fourteen training
subjects (``python -m tools train_anatomy``). They know T1 and CT-like images, not every contrast: docs/anatomy.md.
"""

import io
from functools import cache
from pathlib import Path

import torch
from monai.networks.nets import BasicUNet
from torch import nn

from common.anatomy.structures import STRUCTURES
from common.places import read_known

WEIGHTS = Path(__file__).with_name("weights.pt")
#: SHA-256 of the weights that the figures in docs/anatomy.md were measured with.
DIGEST = "bda5f3f6b1154f0b67126900fd5b256283b2bf1a1f5fc2e539a47db4ccaac7d1"
#: Millimetres of the voxels that the network has learned on, and what the sides of its input are multiples of.
SPACING, MULTIPLE = 2.0, 16
#: Voxels of the volumes that it has learned on.
LEAST = (80, 96, 96)


def anatomy_network() -> nn.Module:
    """Build the network with its first weights. (B, 1, X, Y, Z) -> scores (B, 18, X, Y, Z)."""
    return BasicUNet(3, 1, len(STRUCTURES) + 1, features=(16, 32, 64, 96, 96, 16))


@cache
def trained_network() -> nn.Module:
    """Return the trained network in evaluation mode; what was hashed is what is loaded.

    Raises:
        InputError: the file is missing, or another one.
    """
    content = read_known(WEIGHTS, DIGEST, "the weights of the anatomy network")
    network = anatomy_network()
    network.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    return network.eval().requires_grad_(False)

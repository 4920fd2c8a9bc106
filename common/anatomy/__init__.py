"""Which structure of the brain lies where in an image, T1 or CT, told by a network."""

from common.anatomy.description import Described, describe
from common.anatomy.network import SPACING, anatomy_network
from common.anatomy.structures import STRUCTURES, channels_of

__all__ = ["SPACING", "STRUCTURES", "Described", "anatomy_network", "channels_of", "describe"]

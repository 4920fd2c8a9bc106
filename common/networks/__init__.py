"""The registration networks: a pair (B, 2, X, Y, Z) in, a displacement field (B, 3, X, Y, Z) in voxels out."""

from common.networks.caml_morph import CAMLMorph
from common.networks.mambamorph import MambaMorph
from common.networks.psmamba import PSMambaNet
from common.networks.transmorph import TransMorph
from common.networks.vitvnet import ViTVNet
from common.networks.vmambamorph import VMambaMorph
from common.networks.voxelmorph import VoxelMorph
from common.networks.xmorpher import XMorpher

__all__ = ["CAMLMorph", "MambaMorph", "PSMambaNet", "TransMorph", "VMambaMorph", "ViTVNet", "VoxelMorph", "XMorpher"]

"""The registration networks: a pair (B, 2, X, Y, Z) in, a displacement field (B, 3, X, Y, Z) in voxels out."""

from common.networks.mambamorph import MambaMorph
from common.networks.transmorph import TransMorph
from common.networks.vmambamorph import VMambaMorph
from common.networks.voxelmorph import VoxelMorph

__all__ = ["MambaMorph", "TransMorph", "VMambaMorph", "VoxelMorph"]

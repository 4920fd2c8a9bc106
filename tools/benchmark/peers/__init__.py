"""Classical registration tools as methods of the benchmark, each in a small adapter file.

An adapter turns one pair of images, already affinely aligned, into a displacement field on the fixed image's grid with
the tool's own deformable stage and nothing else: no further affine stage, so that every method starts from the same
place.
Tools are optional; a missing one is reported with the name that ``pip install`` knows it by.
"""

from tools.benchmark.peers.base import Images, Peer
from tools.benchmark.peers.registry import PEERS

__all__ = ["PEERS", "Images", "Peer"]

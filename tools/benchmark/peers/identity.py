"""The affine start itself: no registration, the bar that every method has to clear."""

import numpy as np

from tools.benchmark.peers.base import Images, Peer


def register(images: Images) -> np.ndarray:
    """The zero field (3, X, Y, Z)."""
    return np.zeros((3, *images.fixed.shape), dtype=np.float32)


PEER = Peer("none", "affine start only", "identity field", register)

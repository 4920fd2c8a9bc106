"""Symmetric normalisation of DIPY with its cross-correlation metric."""

import numpy as np

from tools.benchmark.peers.base import Images, Peer


def register(images: Images) -> np.ndarray:
    """CC metric of radius 4, iterations 100/50/25; fields are in voxels because no grid-to-world matrix is given."""
    from dipy.align.imwarp import SymmetricDiffeomorphicRegistration
    from dipy.align.metrics import CCMetric

    method = SymmetricDiffeomorphicRegistration(CCMetric(3), level_iters=[100, 50, 25])
    method.verbosity = 0
    mapping = method.optimize(images.fixed.astype(np.float64), images.moving_on_fixed.astype(np.float64))
    return np.moveaxis(np.asarray(mapping.get_forward_field(), dtype=np.float32), -1, 0)


PEER = Peer("dipy", "DIPY SyN, CC", "CC radius 4, 100/50/25 iterations", register, "dipy", "dipy")

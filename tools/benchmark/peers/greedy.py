"""Greedy diffeomorphic registration of the Penn Image Computing and Science Laboratory."""

import numpy as np

from tools.benchmark.peers.base import Images, Peer


def _register(images: Images, metric: str) -> np.ndarray:
    from picsl_greedy import Greedy3D

    field = images.folder / "greedy_warp.nii.gz"
    Greedy3D().execute(
        f"-d 3 -threads {images.threads} -m {metric} -n 100x50x10 "
        f"-i {images.fixed_path} {images.moving_path} -o {field}"
    )
    return images.field_from_file(field)


def register_ncc(images: Images) -> np.ndarray:
    """Normalised cross-correlation, patch radius 2, iterations 100/50/10."""
    return _register(images, "NCC 2x2x2")


def register_nmi(images: Images) -> np.ndarray:
    """Normalised mutual information, iterations 100/50/10."""
    return _register(images, "NMI")


PEER = Peer("greedy", "greedy, NCC", "NCC 2x2x2, 100x50x10 iterations", register_ncc, "picsl_greedy", "picsl_greedy")
MUTUAL = Peer("greedy_nmi", "greedy, NMI", "NMI, 100x50x10 iterations", register_nmi, "picsl_greedy", "picsl_greedy")

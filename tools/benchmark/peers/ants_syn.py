"""ANTs symmetric normalisation through ANTsPy, without its affine stage."""

import glob

import numpy as np

from tools.benchmark.peers.base import Images, Peer


def _register(images: Images, **options: object) -> np.ndarray:
    import ants

    prefix = str(images.folder / "ants_")
    ants.registration(
        ants.image_read(images.fixed_path),
        ants.image_read(images.moving_path),
        type_of_transform="SyNOnly",
        initial_transform="Identity",
        outprefix=prefix,
        **options,
    )
    return images.field_from_file(glob.glob(prefix + "1Warp.nii.gz")[0])


def register_default(images: Images) -> np.ndarray:
    """ANTsPy's defaults: Mattes mutual information, iterations 40/20/0 (none at full resolution)."""
    return _register(images)


def register_full(images: Images) -> np.ndarray:
    """Mattes mutual information with iterations 100/70/20, so that full resolution is used too."""
    return _register(images, reg_iterations=(100, 70, 20))


def register_cross_correlation(images: Images) -> np.ndarray:
    """Local cross-correlation of radius 4, iterations 100/70/20."""
    return _register(images, syn_metric="CC", syn_sampling=4, reg_iterations=(100, 70, 20))


def register_mean_squares(images: Images) -> np.ndarray:
    """Mean squares with iterations 40/20/0, as the ViT-V-Net paper ran it."""
    return _register(images, syn_metric="meansquares", reg_iterations=(40, 20, 0))


PEER = Peer(
    "ants_syn",
    "ANTs SyN, default",
    "ANTsPy SyNOnly, Mattes MI, 40/20/0 iterations",
    register_default,
    "ants",
    "antspyx",
)
FULL = Peer(
    "ants_syn_full",
    "ANTs SyN, full",
    "ANTsPy SyNOnly, Mattes MI, 100/70/20 iterations",
    register_full,
    "ants",
    "antspyx",
)
CROSS_CORRELATION = Peer(
    "ants_syn_cc",
    "ANTs SyN, CC",
    "ANTsPy SyNOnly, CC radius 4, 100/70/20 iterations",
    register_cross_correlation,
    "ants",
    "antspyx",
)
MEAN_SQUARES = Peer(
    "ants_syn_msq",
    "ANTs SyN, mean squares",
    "ANTsPy SyNOnly, mean squares, 40/20/0 iterations",
    register_mean_squares,
    "ants",
    "antspyx",
)

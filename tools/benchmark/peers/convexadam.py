"""ConvexAdam with hand-crafted MIND features, as its package ships it."""

import numpy as np

from tools.benchmark.peers.base import Images, Peer


def register(images: Images) -> np.ndarray:
    """Coupled convex search, then 80 Adam steps on a grid of half the size; the package's defaults on the CPU."""
    import torch
    from convexAdam.convex_adam_MIND import convex_adam_pt

    torch.set_num_threads(images.threads)
    field = convex_adam_pt(
        torch.from_numpy(images.fixed),
        torch.from_numpy(images.moving_on_fixed),
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    return np.moveaxis(np.asarray(field, dtype=np.float32), -1, 0)


PEER = Peer(
    "convexadam", "ConvexAdam, MIND", "package defaults, float32 on the CPU", register, "convexAdam", "convexadam"
)

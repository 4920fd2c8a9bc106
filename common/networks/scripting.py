"""What ``torch.jit.script`` makes of a network: its recorded operations, which hold for every size, behind a check.

The networks' own code chooses between compiled kernels, slabs and plain operations, in Python that TorchScript does not
read. Recorded (``torch.jit.trace``), they use plain operations alone, and sizes stay open. Only the check of the sizes
is compiled from its source. ``torch.jit.script`` asks a module for such a stand-in by ``__prepare_scriptable__``.

The recording holds for the device and the mode (evaluation or training, with or without gradients) it was made in.
"""

import warnings

import torch
from torch import Tensor, nn


class Recorded(nn.Module):
    """A network's recorded operations.

    Args:
        network: maps (B, 2, X, Y, Z) to (B, 3, X, Y, Z).
        multiple: of which every side has to be.
        smallest: least side.
        cube: whether all sides have to be equal.
        side: of the cube that the recording is made with.
    """

    def __init__(self, network: nn.Module, multiple: int, smallest: int, cube: bool, side: int) -> None:
        super().__init__()
        self.multiple, self.smallest, self.cube = multiple, smallest, cube
        example = next(network.parameters()).new_zeros(1, 2, side, side, side)
        with warnings.catch_warnings():  # of sizes that are taken for constants; a test holds that none matters
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            self.network = torch.jit.trace(network, example, check_trace=False)

    def forward(self, pair: Tensor) -> Tensor:
        """Map a pair (B, 2, X, Y, Z), moving then fixed, to the displacement field (B, 3, X, Y, Z) in voxels."""
        if pair.dim() != 5 or pair.size(1) != 2:
            raise ValueError(f"expected a pair (B, 2, X, Y, Z), got {pair.shape}")
        for side in pair.shape[2:]:
            if side < self.smallest or side % self.multiple != 0 or (self.cube and side != pair.size(2)):
                raise ValueError(
                    f"expected sides of at least {self.smallest} that are multiples of {self.multiple}, cube: "
                    f"{self.cube}, got {pair.shape}"
                )
        return self.network(pair)


def recorded(network: nn.Module, multiple: int, smallest: int = 1, cube: bool = False) -> Recorded:
    """Record a network for ``torch.jit.script``; the arguments are those of ``Recorded``."""
    return Recorded(network, multiple, max(multiple, smallest), cube, 2 * max(multiple, smallest))

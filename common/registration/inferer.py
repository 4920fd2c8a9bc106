"""How a network is run on one pair: without gradients, in the precision asked for, pass after pass."""

from collections.abc import Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer

from common.spatial.passes import coarse_to_fine, passes_of
from common.switches import reads_switches


class NoNetwork(torch.nn.Module):
    """Stands where a network would and displaces nothing: what remains is the alignment and the refinement."""

    def forward(self, pair: torch.Tensor) -> torch.Tensor:
        """(B, 2, X, Y, Z) -> (B, 3, X, Y, Z), zeros."""
        return pair.new_zeros((pair.shape[0], 3, *pair.shape[2:]))


@reads_switches
class AutocastInferer(SimpleInferer):
    """Run a network without gradients, in bfloat16 where asked for.

    MONAI's evaluators know autocast on CUDA only; this one follows the input's device, the CPU included. The selective
    scan keeps its state in float32 either way.

    Args:
        amp: compute convolutions and matrix products in bfloat16.
        passes: grids on which the network looks one after the other, see ``coarse_to_fine``; ``[1]`` is the network as
            its paper has it.

    Raises:
        InputError: ``amp`` is no switch; see ``passes_of``.
    """

    def __init__(self, amp: bool = False, passes: int | Sequence[int] = (1,)) -> None:
        super().__init__()
        self.amp, self.passes = amp, passes_of(passes)

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return ``network(inputs)`` in float32. (B, 2, X, Y, Z) -> (B, 3, X, Y, Z)."""
        if isinstance(inputs, MetaTensor):  # its bookkeeping costs time in every operation and serves nothing here
            inputs = inputs.as_tensor()
        with torch.inference_mode(), torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=self.amp):
            return coarse_to_fine(lambda pair: network(pair, *args, **kwargs).float(), inputs, self.passes)

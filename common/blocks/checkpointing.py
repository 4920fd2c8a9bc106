"""Trading time for memory in training."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_checkpointed(module: nn.Module, enabled: bool, *inputs: Tensor) -> Tensor:
    """Call ``module``; if ``enabled`` while gradients are recorded, keep only its inputs and recompute it backward."""
    if enabled and torch.is_grad_enabled() and not torch.jit.is_tracing():
        return checkpoint(module, *inputs, use_reentrant=False)
    return module(*inputs)

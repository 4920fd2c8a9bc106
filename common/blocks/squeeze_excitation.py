"""Channel gates (Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018), with one quirk of published weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SqueezeExcitation(nn.Module):
    """Scale every channel by a gate in (0, 1) computed from the means of all channels.

    With fewer channels than ``reduction`` no hidden unit is left: the gate is 0.5 whatever comes in. Published weights
    of PSMamba-Net have such a gate, as two empty tensors, and count on its factor.
    """

    def __init__(self, channels: int, reduction: int = 16, constant_gate: bool = True) -> None:
        """Build the two linear layers.

        Args:
            channels: of the input.
            reduction: channels per hidden unit.
            constant_gate: allow no hidden unit, see above; False keeps at least one, so that the gate can learn.
        """
        super().__init__()
        hidden = channels // reduction if constant_gate else max(1, channels // reduction)
        self.squeeze = nn.Parameter(torch.empty(hidden, channels), requires_grad=hidden > 0)
        self.excite = nn.Parameter(torch.empty(channels, hidden), requires_grad=hidden > 0)
        if hidden:
            nn.init.kaiming_uniform_(self.squeeze, a=5**0.5)
            nn.init.kaiming_uniform_(self.excite, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) -> (B, C, X, Y, Z)."""
        if self.squeeze.shape[0] == 0:
            gate = x.new_full((1,), 0.5)
        else:
            gate = F.linear(F.leaky_relu(F.linear(x.mean((2, 3, 4)), self.squeeze), 0.01), self.excite)
            gate = torch.sigmoid(gate)[:, :, None, None, None]
        return x * gate if torch.is_grad_enabled() else x.mul_(gate)

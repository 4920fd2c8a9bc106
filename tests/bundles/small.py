"""Constructor arguments that make each bundle's network small, and weights that make it move something."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from common.bundle import build_network
from tests.common.networks.contract import scramble

_UNET = {"feature_encoder": [4, 4], "feature_decoder": [4, 4, 4, 4]}
_TRUNK = {"embed_dim": 16, "reg_head_channels": 6, **_UNET}
_CROSS = {"embed_dim": 12, "depths": [1, 1, 1, 1], "num_heads": [2, 2, 2, 2]}
SMALL: dict[str, dict[str, Any]] = {
    "mambamorph": {**_TRUNK, "d_state": 4},
    "vmambamorph": {**_TRUNK, "d_state": 4},
    "transmorph": {**_TRUNK, "depths": [2, 2, 2], "num_heads": [2, 2, 2], "window_size": [3, 4, 5]},
    "voxelmorph": {**_UNET, "unet_encoder": [4] * 4, "unet_decoder": [4] * 6},
    "psmamba_net": {"base_channels": 2, "d_state": 4},
    "psmamba_net_diff": {"base_channels": 2, "d_state": 4, "integration_steps": 3},
    "vit_v_net": {
        **{"img_size": [64, 32, 96], "hidden_size": 24, "mlp_dim": 32, "num_heads": 2, "num_layers": 2},
        **{"encoder_channels": [4, 4, 4], "bottleneck_channels": 8, "decoder_channels": [8, 8, 4, 4, 4]},
    },
    "xmorpher": _CROSS,
    "caml_morph": _CROSS,
}


def small_network(bundle: Path, **more: Any) -> nn.Module:
    """The bundle's own network_def with small arguments, in evaluation mode."""
    torch.manual_seed(0)
    network = build_network(bundle.name, {**SMALL[bundle.name], **more})
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "position_embedding" in name:
                parameter.normal_(0.0, 0.5)
    return scramble(network, 0.02)

import pytest
import torch
from torch.nn import functional as F

from common.blocks.vss import CrossScanMixer, VSSStage
from common.scan import selective_scan


def mix_by_copies(mixer, x, correct):
    """The authors' recipe, sequence by sequence."""
    n = x.shape[1]
    u, z = mixer.in_proj(x).chunk(2, dim=-1)
    u = F.silu(mixer.conv3d(u.permute(0, 4, 1, 2, 3)))
    inner = u.shape[1]
    total = torch.zeros_like(u)
    for k in range(4):
        sequence = (u.transpose(2, 3) if k % 2 else u).flatten(2)
        sequence = sequence.flip(-1) if k >= 2 else sequence
        low, B, C = (mixer.x_proj_weight[k] @ sequence).split([mixer.dt_rank, mixer.d_state, mixer.d_state], dim=1)
        rows = slice(k * inner, (k + 1) * inner)
        y = selective_scan(
            sequence,
            mixer.dt_projs_weight[k] @ low,
            -mixer.A_logs[rows].exp(),
            B,
            C,
            mixer.Ds[rows],
            delta_bias=mixer.dt_projs_bias[k],
            delta_softplus=True,
            backend="reference",
        )
        y = (y.flip(-1) if k >= 2 else y).view(*y.shape[:2], n, n, n)
        if k % 2:
            y = y.transpose(2, 3) if correct else y.transpose(3, 4)
        total = total + y
    return mixer.out_proj(mixer.out_norm(total.permute(0, 2, 3, 4, 1)) * F.silu(z))


@pytest.mark.parametrize("walk", ["published", "corrected"])
def test_mixer_equals_the_recipe_with_copies(walk):
    mixer = CrossScanMixer(8, d_state=3, walk=walk)
    x = torch.randn(2, 3, 3, 3, 8)
    with torch.no_grad():
        torch.testing.assert_close(mixer(x), mix_by_copies(mixer, x, walk == "corrected"), atol=1e-5, rtol=1e-4)


def test_the_corrected_walk_does_not_mix_up_axes():
    mixer = CrossScanMixer(8, d_state=3, walk="corrected")
    assert mixer(torch.randn(1, 2, 3, 4, 8)).shape == (1, 2, 3, 4, 8)


def test_unused_blocks_are_frozen_and_do_nothing():
    stage = VSSStage(8, 3, 3, 2, "published", unused_weights=True)
    assert len(stage.unused) == 2 and not any(p.requires_grad for p in stage.unused.parameters())
    x = torch.randn(1, 2, 2, 2, 8)
    with torch.no_grad():
        before = stage(x)
        for p in stage.unused.parameters():
            p.fill_(float("nan"))
        assert torch.equal(stage(x), before)

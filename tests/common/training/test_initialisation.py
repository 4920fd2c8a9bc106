import pytest
import torch
from torch import nn

from common.errors import InputError
from common.networks import PSMambaNet, VoxelMorph, XMorpher
from common.training.initialisation import initialise, parameter_groups
from common.training.schedule import PolynomialRate


def test_published_changes_nothing_and_other_words_are_refused() -> None:
    network = nn.Conv3d(2, 4, 3)
    before = network.weight.detach().clone()
    assert initialise(network, "published") is network and torch.equal(network.weight, before)
    with pytest.raises(InputError, match="expected published or kaiming, got 'xavier'"):
        initialise(network, "xavier")


def test_kaiming_keeps_the_scale_of_the_signal_where_the_default_loses_it() -> None:
    torch.manual_seed(0)
    layers = [layer for _ in range(6) for layer in (nn.Conv3d(16, 16, 3, padding=1), nn.LeakyReLU(0.2))]
    network, x = nn.Sequential(*layers), torch.randn(1, 16, 8, 8, 8)
    lost = float(network(x).std())
    kept = float(initialise(network, "kaiming")(x).std())
    assert lost < 0.1 < 0.3 < kept < 2.0


def test_kaiming_starts_heads_at_the_identity_and_leaves_the_rest() -> None:
    torch.manual_seed(0)
    pair = torch.rand(1, 2, 32, 32, 32)
    for network in (XMorpher(embed_dim=6, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)), VoxelMorph()):
        norms = {n: p.detach().clone() for n, p in network.named_parameters() if "norm" in n or not p.requires_grad}
        with torch.no_grad():
            assert initialise(network, "kaiming")(pair).abs().max() < 0.1
        assert all(torch.equal(p, norms[n]) for n, p in network.named_parameters() if n in norms)


def test_kaiming_wakes_up_projections_that_start_near_zero() -> None:
    network = PSMambaNet(base_channels=1)
    scans = network.decoder["2"].mamba.mamba.in_proj.weight.detach().clone()  # type: ignore[union-attr]
    initialise(network, "kaiming")
    linear = network.projections["5"].linear  # type: ignore[union-attr]
    assert float(linear.weight.std()) == pytest.approx((2 / 1.04 / 32) ** 0.5, rel=0.2)
    assert torch.equal(network.decoder["2"].mamba.mamba.in_proj.weight, scans)  # type: ignore[union-attr]
    assert float(network.decoder["5"].head.weight.std()) == pytest.approx(1e-5, rel=0.2)  # type: ignore[union-attr]


def test_rate_factors_group_the_parameters_and_the_schedule_obeys_them() -> None:
    network = nn.ModuleDict({"a": nn.Linear(2, 2), "ab": nn.Linear(2, 2), "c": nn.Linear(2, 2).requires_grad_(False)})
    (group,) = parameter_groups(network, {})
    assert [tuple(p.shape) for p in group["params"]] == [(2, 2), (2,)] * 2 and group["rate_factor"] == 1.0
    optimizer = torch.optim.Adam(parameter_groups(network, {"a": 0.1, "ab.bias": 2}), lr=1.0)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 2, 1]
    engine = type("Engine", (), {"state": type("State", (), {"epoch": 1, "iteration": 1})()})()
    PolynomialRate(optimizer, 0.01, 0.0, 5).update(engine)  # type: ignore[arg-type]
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 0.001, 0.02])
    for wrong in ("b", "c"):
        with pytest.raises(InputError, match=f"start of a trainable parameter's name, got '{wrong}'"):
            parameter_groups(network, {wrong: 1.0})

import copy

import pytest
import torch
from torch import nn

from common.networks import MambaMorph
from common.training.muon import Muon, matrix_groups, orthogonalised


@pytest.mark.parametrize("shape", [(16, 432), (432, 16), (48, 48), (3, 20, 12)])
def test_singular_values_end_near_one_and_the_singular_vectors_stay(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    result = orthogonalised(matrix)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6 and values.max() < 1.3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    rotated = u.mT @ result @ v.mT
    off_diagonal = rotated - torch.diag_embed(torch.diagonal(rotated, dim1=-2, dim2=-1))
    assert off_diagonal.abs().max() < 1e-4


def test_an_update_is_as_large_as_adams_whatever_the_gradient() -> None:
    torch.manual_seed(0)
    layer = nn.Conv3d(16, 32, 3)
    before = layer.weight.detach().clone()
    optimizer = Muon(matrix_groups(layer, {}), lr=1e-3)
    for scale in (1e-6, 1e3):
        layer.weight.grad = scale * torch.randn_like(layer.weight)
        optimizer.state.clear()
        before = layer.weight.detach().clone()
        optimizer.step()
        size = float((layer.weight - before).square().mean().sqrt())
        assert 0.15e-3 < size < 0.25e-3


def test_what_is_no_matrix_moves_as_with_adam() -> None:
    torch.manual_seed(0)
    start = torch.randn(5)
    mine, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    ours = Muon([{"params": [mine], "orthogonal": False}], lr=1e-2, betas=(0.9, 0.99))
    adam = torch.optim.Adam([theirs], lr=1e-2, betas=(0.9, 0.99))
    for _ in range(20):
        gradient = torch.randn(5)
        mine.grad, theirs.grad = gradient.clone(), gradient.clone()
        ours.step()
        adam.step()
    torch.testing.assert_close(mine, theirs)


def test_groups_hold_every_trainable_parameter_once_and_leave_heads_and_scans_to_adam() -> None:
    network = MambaMorph(embed_dim=24)
    groups = matrix_groups(network, {"decoder.0": 0.1})
    assert {(group["orthogonal"], group["rate_factor"]) for group in groups} == {(True, 0.1), (True, 1), (False, 1)}
    matrices, rest = ([p for g in groups if g["orthogonal"] is wanted for p in g["params"]] for wanted in (True, False))
    grouped = [id(p) for p in (*matrices, *rest)]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters() if p.requires_grad)
    names = {id(p): name for name, p in network.named_parameters()}
    left = {names[id(p)] for p in rest if p.dim() > 1}
    assert any(name.endswith("A_log") for name in left) and any(name.startswith("head") for name in left)
    assert all(p.dim() in (2, 5) for p in matrices)


def test_a_state_goes_through_a_checkpoint() -> None:
    torch.manual_seed(0)
    networks = [nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    optimizers = [Muon(matrix_groups(network, {}), lr=1e-2) for network in networks]
    inputs = torch.randn(4, 8)

    def step(number: int) -> None:
        optimizers[number].zero_grad()
        networks[number](inputs).square().mean().backward()
        optimizers[number].step()

    step(0)
    networks[1].load_state_dict(networks[0].state_dict())
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    for number in range(2):
        step(number)
    for first, second in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(first, second)

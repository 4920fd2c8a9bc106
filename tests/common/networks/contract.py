"""What every registration network promises, as assertions that a network's test calls."""

import torch
from torch import nn

from common.errors import InputError


def scramble(network: nn.Module, scale: float = 0.05) -> nn.Module:
    """Give the near-zero field head weights that move something; returns the network in evaluation mode."""
    with torch.no_grad():
        for name, module in network.named_modules():
            if name.split(".")[-1] == "head":
                module.weight.normal_(0.0, scale)
    return network.eval()


def random_pair(shape, batch=1, seed=0):
    return torch.rand(batch, 2, *shape, generator=torch.Generator().manual_seed(seed))


def check_starts_at_identity(network: nn.Module, shape) -> None:
    """A fresh network hardly moves anything, whatever it sees."""
    with torch.no_grad():
        ddf = network.eval()(random_pair(shape))
    assert ddf.shape == (1, 3, *shape)
    assert 0 < ddf.abs().max() < 0.05


def check_batch_equals_singles(network: nn.Module, shape, scale: float = 0.05) -> None:
    pairs = random_pair(shape, batch=2)
    scramble(network, scale)
    with torch.no_grad():
        together = network(pairs)
        singles = torch.cat([network(pair[None]) for pair in pairs])
    assert not torch.allclose(together[0], together[1], atol=1e-3)
    torch.testing.assert_close(together, singles, atol=2e-4, rtol=1e-4)


def check_every_trainable_weight_learns(network: nn.Module, shape) -> None:
    scramble(network).train()
    fields = network.fields(random_pair(shape))
    sum((field * torch.randn_like(field)).sum() for field in fields.values()).backward()
    learning = {name: p for name, p in network.named_parameters() if p.requires_grad}
    idle = [name for name, p in learning.items() if p.grad is None or not p.grad.any()]
    assert not idle
    assert all(torch.isfinite(p.grad).all() for p in learning.values())
    assert all(p.grad is None for p in network.parameters() if not p.requires_grad)


def check_autocast(network: nn.Module, shape, tolerance, scale: float = 0.05) -> None:
    """In bfloat16 the field stays finite and within ``tolerance`` (relative to its size) of float32."""
    scramble(network, scale)
    pair = random_pair(shape)
    with torch.no_grad():
        full = network(pair)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = network(pair)
    assert torch.isfinite(half).all()
    assert half.dtype == torch.float32
    assert (half - full).pow(2).mean().sqrt() < tolerance * full.pow(2).mean().sqrt()


def check_trace(network: nn.Module, shape, scale: float = 0.05) -> None:
    """The traced network gives the same field, also for a batch."""
    scramble(network, scale)
    # Without the optimiser, which takes seconds at the first calls.
    with torch.no_grad(), torch.jit.optimized_execution(False):
        traced = torch.jit.trace(network, random_pair(shape), check_trace=False)
        for batch in (1, 2):
            pair = random_pair(shape, batch, seed=5)
            torch.testing.assert_close(traced(pair), network(pair), atol=2e-4, rtol=1e-4)


def check_checkpointing(plain: nn.Module, checkpointed: nn.Module, shape) -> None:
    """Recomputing activations changes no gradient."""
    checkpointed.load_state_dict(scramble(plain).state_dict())
    pair = random_pair(shape)
    for network in (plain, checkpointed.eval()):
        network(pair).square().sum().backward()
    for (name, p), q in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        if p.requires_grad:
            torch.testing.assert_close(q.grad, p.grad, msg=name, atol=1e-4, rtol=1e-3)


def check_bad_pairs(network: nn.Module, shapes) -> None:
    """Shapes that the network cannot take are refused with a line that names what is expected."""
    for shape in shapes:
        try:
            network(torch.zeros(shape))
        except InputError as error:
            assert "expects" in str(error) and str(tuple(shape)) in str(error)
        else:
            raise AssertionError(f"{shape} was accepted")

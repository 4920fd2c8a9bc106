"""Run the Triton scan in Triton's interpreter on tiny cases; prints the relative errors as JSON. Run by test_triton.py.

A process of its own, because the interpreter has to be switched on before the kernels are imported.
"""

import json
import os
import sys

os.environ["TRITON_INTERPRET"] = "1"

import torch

from common.scan import cross_scan, selective_scan
from common.scan.cross import cross_scan_materialised
from common.scan.orders import ScanOrder
from tests.common.scan.cases import NAMES, load_case, random_case, relative_error

RANDOM: dict[str, dict] = {
    "groups_tail_and_initial_state": {"channels": 6, "length": 35, "states": 3, "groups": 2},
    "two_images_no_softplus": {"batch": 2, "channels": 3, "length": 8, "states": 2, "softplus": False},
}
WALKS: dict[str, tuple[tuple[int, int, int], tuple[str, ...], bool]] = {
    "runs_up_down_and_wrong_undoing": ((4, 4, 4), ("yxz>xzy", "YXZ>XZY"), False),
    "any_axes_odd_sizes": ((3, 2, 3), ("xyz", "zYx"), False),
    "channel_last": ((2, 2, 4), ("XYZ",), True),
}


def stored(name: str) -> dict[str, float]:
    """One case of the stored results: errors of outputs and gradients, through the public function."""
    arguments, expected = load_case(name, torch.float32)
    return _errors(arguments, expected, expected["upstream"])


def random(name: str) -> dict[str, float]:
    """One random case against the float64 reference, the last state's gradient included."""
    exact = random_case(**RANDOM[name])
    leaves = {n: exact[n].requires_grad_() for n in NAMES if n in exact}
    out, last = selective_scan(**exact, return_last_state=True, backend="chunked")
    upstream, upstream_last = torch.randn_like(out), torch.randn_like(last)
    gradients = torch.autograd.grad([out, last], list(leaves.values()), [upstream, upstream_last])
    expected = {"out": out, "last_state": last} | {f"grad_{n}": g for n, g in zip(leaves, gradients, strict=True)}
    arguments = {n: t.detach().float() if isinstance(t, torch.Tensor) else t for n, t in exact.items()}
    return _errors(arguments, expected, upstream.float(), upstream_last.float())


def _errors(arguments, expected, upstream, upstream_last=None) -> dict[str, float]:
    leaves = {n: arguments[n].requires_grad_() for n in NAMES if n in arguments}
    out, last = selective_scan(**arguments, return_last_state=True, backend="triton")
    roots, ups = ([out], [upstream]) if upstream_last is None else ([out, last], [upstream, upstream_last])
    gradients = torch.autograd.grad(roots, list(leaves.values()), ups)
    found = {"out": out, "last_state": last} | {f"grad_{n}": g for n, g in zip(leaves, gradients, strict=True)}
    return {n: relative_error(t, expected[n].reshape(t.shape)) for n, t in found.items()}


def walks(name: str) -> dict[str, float]:
    """Walks over a volume against permuted copies in float64."""
    shape, names, channel_last = WALKS[name]
    orders = [ScanOrder.parse(text) for text in names]
    walks_, channels, states = len(orders), 3, 3
    generator = torch.Generator().manual_seed(1)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    exact = [normal(1, channels, *shape), normal(1, walks_, channels, *shape), -normal(walks_ * channels, states).abs()]
    exact += [normal(1, walks_, states, *shape) for _ in "BC"] + [normal(walks_ * channels) for _ in ("D", "bias")]
    leaves = [t.clone().requires_grad_() for t in exact]
    out = cross_scan_materialised(*leaves, True, orders, backend="chunked")
    upstream = normal(*out.shape)
    expected = torch.autograd.grad(out, leaves, upstream)
    inputs = [t.float() for t in exact]
    if channel_last:
        inputs[0] = inputs[0].to(memory_format=torch.channels_last_3d)
    inputs = [t.requires_grad_() for t in inputs]
    found = cross_scan(*inputs, delta_softplus=True, orders=orders, backend="triton")
    gradients = torch.autograd.grad(found, inputs, upstream.float())
    labels = ("u", "delta", "A", "B", "C", "D", "delta_bias")
    errors = {f"grad_{n}": relative_error(g, e) for n, g, e in zip(labels, gradients, expected, strict=True)}
    return errors | {"out": relative_error(found, out)}


def half(name: str) -> dict[str, float]:
    """16-bit inputs in channel-last layout: dtype and layout of the result, error against the same in float64."""
    arguments = random_case(channels=4, length=8, states=4, omit=("initial_state",))
    given = {n: t.to(getattr(torch, name)) if n in ("u", "delta", "B", "C", "z") else t for n, t in arguments.items()
             if n != "delta_softplus"}  # fmt: skip
    given = {n: t.float() if t.dtype == torch.float64 else t for n, t in given.items()}
    expected = selective_scan(**{n: t.double() for n, t in given.items()}, delta_softplus=True, backend="chunked")
    for n in ("u", "delta", "z"):
        given[n] = given[n].transpose(1, 2).contiguous().transpose(1, 2)
    out = selective_scan(**given, delta_softplus=True, backend="triton")
    assert out.dtype == given["u"].dtype and out.stride() == given["u"].stride(), (out.dtype, out.stride())
    return {"out": relative_error(out, expected)}


KINDS = {"stored": stored, "random": random, "walks": walks, "half": half}


def main() -> None:
    """Run the cases ``kind:name`` given as arguments."""
    torch.set_num_threads(1)
    print(json.dumps({argument: KINDS[argument.split(":")[0]](argument.split(":")[1]) for argument in sys.argv[1:]}))


if __name__ == "__main__":
    main()

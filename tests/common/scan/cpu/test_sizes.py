"""The contract of host and CPU kernels: arguments by name, and memory of exactly the declared size with a fence."""

import inspect
import threading

import numpy as np
import pytest
import torch

from common.scan import available_backends, cross_scan, selective_scan
from common.scan.cpu import launch, sizes
from common.scan.cpu.sizes import BackwardArguments, ConvolveArguments, ForwardArguments
from tests.common.scan.cases import NAMES, random_case

pytestmark = pytest.mark.skipif(not available_backends("cpu")["cpu"][0], reason="needs numba")
FENCE = 64  # elements before and behind every array
FILL = 1.2345e30  # what they are: no result is that, and no result stays the same that has it among its terms
KINDS = {"scan_forward": ForwardArguments, "scan_backward": BackwardArguments, "convolve": ConvolveArguments}


@pytest.mark.parametrize(("name", "arguments"), KINDS.items())
def test_a_kernel_takes_the_arguments_of_the_contract_in_their_order(name, arguments):
    from common.scan.cpu import kernels

    assert tuple(inspect.signature(getattr(kernels, name).py_func).parameters) == arguments._fields
    assert len(kernels.SIGNATURES[name]) == len(arguments._fields)


@pytest.mark.parametrize("states", [1, 4, 5, 16])
@pytest.mark.parametrize("lay_out", [sizes.forward_layout, sizes.backward_layout])
def test_parts_of_the_working_memory_lie_one_behind_the_other(lay_out, states):
    layout = lay_out(states)
    assert list(layout) == sorted(layout) and layout[0] == 0
    assert all(start % sizes.WIDTH == 0 for start in layout)


class Fenced:
    """Runs a kernel on copies of its arrays that lie between fences, and says whose fences were torn down.

    One call at a time: whole arrays are copied back, and would undo what another thread wrote to its part meanwhile.
    """

    def __init__(self) -> None:
        self.load = launch.load_kernel
        self.torn: set[str] = set()
        self.calls: list[str] = []
        self.turn = threading.Lock()

    def __call__(self, module: str, name: str):
        kernel, fields = self.load(module, name), KINDS[name]._fields

        def run(*arguments) -> None:
            with self.turn:
                run_fenced(*arguments)

        def run_fenced(*arguments) -> None:
            copies: dict[int, np.ndarray] = {}  # by the address of the original: two arguments may be the same array
            for array in (a for a in arguments if isinstance(a, np.ndarray)):
                copy = np.full(array.size + 2 * FENCE, 77 if array.dtype == np.int64 else FILL, array.dtype)
                copy[FENCE : FENCE + array.size] = array
                copies[id(array)] = copy
            inner = [copies[id(a)][FENCE : FENCE + a.size] if id(a) in copies else a for a in arguments]
            fences = {key: (copy[:FENCE].tobytes(), copy[-FENCE:].tobytes()) for key, copy in copies.items()}
            kernel(*inner)
            for field, array in zip(fields, arguments, strict=True):
                if id(array) in copies:
                    copy = copies[id(array)]
                    if fences[id(array)] != (copy[:FENCE].tobytes(), copy[-FENCE:].tobytes()):
                        self.torn.add(field)
                    array[:] = copy[FENCE : FENCE + array.size]
            self.calls.append(name)

        return run


@pytest.fixture
def fenced(monkeypatch) -> Fenced:
    fenced = Fenced()
    monkeypatch.setattr(launch, "load_kernel", fenced)
    return fenced


def run_plain(channels=37, length=70, states=5, groups=1, channel_last=False, omit=(), batch=2) -> list[torch.Tensor]:
    case = random_case(batch, channels, length, states, groups=groups, dtype=torch.float32, omit=omit)
    if channel_last:
        for n in ("u", "delta", "z"):
            if n in case:
                case[n] = case[n].transpose(1, 2).contiguous().transpose(1, 2)
    inputs = [case[n].requires_grad_() for n in NAMES if n in case]
    out, last = selective_scan(**case, return_last_state=True, backend="cpu")
    return [out.detach(), last.detach(), *torch.autograd.grad([out, last], inputs, [out.detach(), last.detach()])]


def run_walks(shape=(3, 4, 5), channels=21, states=3) -> list[torch.Tensor]:
    count, generator = 2, torch.Generator().manual_seed(0)
    sizes = [(2, channels, *shape), (2, count, channels, *shape), (count * channels, states)]
    sizes += [(2, count, states, *shape)] * 2 + [(count * channels,)] * 2
    inputs = [torch.randn(size, generator=generator) for size in sizes]
    inputs[2] = -inputs[2].abs()
    inputs = [t.requires_grad_() for t in inputs]
    out = cross_scan(*inputs, delta_softplus=True, orders=("xyz", "ZyX"), backend="cpu")
    return [out.detach(), *torch.autograd.grad(out, inputs, out.detach())]


CASES = {
    "one of everything": lambda: run_plain(1, 1, 1),
    "whole tiles and chunks": lambda: run_plain(32, 64, 4, channel_last=True),
    "rows transposed in registers": lambda: run_plain(32, 96, 8),
    "parts of tiles and chunks": run_plain,
    "groups": lambda: run_plain(51, 33, 2, groups=3, channel_last=True),
    "nothing optional": lambda: run_plain(20, 40, 6, omit=("z", "D", "delta_bias", "initial_state")),
    "walks": run_walks,
}


@pytest.mark.parametrize("case", CASES)
def test_kernels_stay_in_the_memory_that_they_are_given(case, fenced):
    found = CASES[case]()
    assert set(fenced.calls) == {"scan_forward", "scan_backward"}
    assert fenced.torn == set()
    fenced.load, launch.load_kernel = None, fenced.load  # without fences: what was read beyond them would show
    for a, b in zip(found, CASES[case](), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("which", ["forward_layout", "backward_layout"])
def test_the_fence_notices_a_change_on_the_hosts_side_alone(which, fenced, monkeypatch):
    lay_out = getattr(launch, which)
    monkeypatch.setattr(launch, which, lambda states: lay_out(states)._replace(floats=lay_out(states).floats - 1))
    run_plain()
    assert fenced.torn == {"scratch"}


def test_the_fence_notices_a_wrong_offset(fenced, monkeypatch):
    place = launch.Sequence.place
    shifted = lambda *where: place(*where)._replace(start=place(*where).start + 1)  # noqa: E731
    monkeypatch.setattr(launch.Sequence, "place", shifted)
    run_plain()
    assert {"out", "g_u", "g_delta", "g_z", "g_B", "g_C"} <= fenced.torn

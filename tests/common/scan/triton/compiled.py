"""Compile the Triton scan for a GPU that need not be there; prints each kernel's resources as JSON.

Run by test_triton.py, in a process of its own because it puts stand-ins in the place of Triton's driver and launch. The
host code runs unchanged on tensors without data, so what is compiled is exactly what a launch would compile.

Usage: python -m tests.common.scan.triton.compiled cuda 90 [case]
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from common.scan.orders import VMAMBAMORPH_ORDERS
from common.scan.seam import CrossScan, Scan
from common.scan.triton import launch
from common.scan.triton.backend import Triton


class _Driver:
    """A driver with a target and no device."""

    def __init__(self, target: GPUTarget) -> None:
        self.get_current_target = lambda: target
        self.get_current_device = lambda: 0
        self.get_current_stream = lambda device: 0


def _tensors(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    return [torch.empty(shape, device="meta", dtype=dtype) for shape in shapes]


def scan(length: int = 16128, channels: int = 192, states: int = 16, dtype: torch.dtype = torch.float32) -> None:
    """Forward and backward with everything given."""
    u, delta, z, grad = _tensors(*[(1, channels, length)] * 4, dtype=dtype)
    B, C = _tensors(*[(1, 1, states, length)] * 2, dtype=dtype)
    A, D, bias = _tensors((channels, states), (channels,), (channels,))
    inputs = Scan(u, delta, A, B, C, D, z, bias, delta_softplus=True)
    _, _, saved = Triton().forward(inputs, save=True)
    Triton().backward(inputs, saved, grad, None)


def cross() -> None:
    """The four walks of VMambaMorph, forward."""
    n, channels, states = 16, 64, 16
    u, delta, B, C = _tensors(*[(1, *k, n, n, n) for k in ((channels,), (4, channels), (4, states), (4, states))])
    A, D, bias = _tensors((4 * channels, states), (4 * channels,), (4 * channels,))
    Triton().cross_forward(CrossScan(u, delta, A, B, C, D, bias, True, VMAMBAMORPH_ORDERS), save=True)


CASES = {"scan": scan, "cross": cross, "half": lambda: scan(dtype=torch.bfloat16), "odd": lambda: scan(length=4095)}
CASES["short"] = lambda: scan(length=5, channels=3, states=3)


def _nvidia(kernel) -> dict[str, int]:
    """Registers, local memory (spills), static shared memory and the use of vector loads, out of the machine code."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(kernel.asm["cubin"])
        usage = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
        code = subprocess.run([tool, "-sass", file.name], capture_output=True, text=True, check=True).stdout
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", usage).groups()
    return {
        "registers": int(registers), "spilled_bytes": int(stack), "shared_bytes": kernel.metadata.shared,
        "loads_of_16_bytes": code.count("LDG.E.128"), "loads_of_8_bytes": code.count("LDG.E.64"),
    }  # fmt: skip


def _amd(kernel) -> dict[str, int]:
    """Registers and spills out of the assembler text."""
    text = kernel.asm["amdgcn"]
    found = {name: int(re.findall(rf"\.{name}:\s*(\d+)", text)[-1]) for name in ("vgpr_count", "vgpr_spill_count")}
    return {"registers": found["vgpr_count"], "spilled_bytes": 4 * found["vgpr_spill_count"]}


def main() -> None:
    """Compile one case for one target and print what every kernel needs."""
    backend, architecture = sys.argv[1], sys.argv[2]
    nvidia = backend == "cuda"
    lanes = 32 if nvidia or architecture.startswith("gfx1") else 64
    driver.set_active(_Driver(GPUTarget(backend, int(architecture) if nvidia else architecture, lanes)))
    run, found = JITFunction.run, {}

    def compile_only(self, *args, grid, warmup, **kwargs):
        kernel = run(self, *args, grid=grid, warmup=True, **kwargs)
        found[self.__name__] = (_nvidia if nvidia else _amd)(kernel)
        return kernel

    JITFunction.run = compile_only
    launch._device_facts = lambda index: (lanes, 132)
    CASES[sys.argv[3] if len(sys.argv) > 3 else "scan"]()
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""``python -m tools doctor``: what this machine has, which scan backends run here, and whether they are right."""

import functools
import platform
from collections.abc import Callable

import torch

from common.machine import processor, versions
from common.scan import available_backends, causal, select_backend
from common.scan.selection import read_environment
from common.scan.selftest import SelfTest, convolution_test, self_test

PACKAGES = (
    "torch", "monai", "numpy", "numba", "scipy", "nibabel", "itk-core", "pytorch-ignite",
    "triton", "mamba-ssm", "causal-conv1d", "monailabel",
)  # fmt: skip


def doctor() -> None:
    """Print devices, versions, every scan backend with the reason why it can or cannot run, and a self-test of each.

    The self-test compares outputs and all gradients with the reference recurrence in float64, on this machine. The exit
    code is 1 if a backend that is available computes wrong numbers.
    """
    print("\n".join(_machine()))
    print("\n".join(_packages()))
    healthy = True
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        lines, fine = _backends(device)
        print("\n".join(lines))
        healthy = healthy and fine
    if not healthy:
        raise SystemExit(1)


def _machine() -> list[str]:
    """Processor, threads and GPUs."""
    lines = ["machine", f"  system   {platform.platform()}, python {platform.python_version()}"]
    lines.append(
        f"  cpu      {processor()}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    )
    if not torch.cuda.is_available():
        return [*lines, f"  gpu      none that torch {torch.__version__} can use"]
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        lines.append(
            f"  gpu {index}    {found.name}, {found.total_memory / 2**30:.0f} GiB, "
            f"capability {found.major}.{found.minor}"
        )
    return lines


def _packages() -> list[str]:
    """Versions of what the project uses and of what could speed it up."""
    found = versions(PACKAGES)
    return ["packages", *(f"  {name:<16} {found.get(name, 'not installed')}" for name in PACKAGES)]


def _backends(device: str) -> tuple[list[str], bool]:
    """Availability, reason and self-test of every backend on one device; False if one computes wrong numbers."""
    forced, forbidden = read_environment()
    lines, healthy = [f"scan backends on {device}"], True
    for name, (available, reason) in available_backends(device).items():
        lines.append(f"  {name:<10} {'available  ' if available else 'unavailable'}  {reason}")
        if available:
            passed, text = _tested(functools.partial(self_test, name, device))
            healthy = healthy and passed
            lines.append(f"  {'':<10} self-test    {text}")
    probe = torch.zeros(1, 16, 1, device=device)
    choice = select_backend(probe, -torch.ones(16, 16, device=device), torch.zeros(1, 1, 16, 1, device=device))
    said = f"SCAN_BACKEND forces {forced}" if forced else "automatic"
    said += f", {', '.join(sorted(forbidden))} forbidden" if forbidden else ""
    convolution, reason = causal.availability(device)
    lines.append(f"  chosen     {choice} ({said})")
    lines.append(f"  causal convolution in front of it: {reason if convolution else f'torch ({reason})'}")
    passed, text = _tested(lambda: convolution_test(device))
    lines.append(f"  {'':<10} self-test    {text}")
    return lines, healthy and passed


def _tested(test: Callable[[], SelfTest]) -> tuple[bool, str]:
    """Run one self-test; a crash is a failure with its message."""
    try:
        outcome = test()
    except Exception as error:  # a broken driver or compiler may raise anything
        return False, f"FAILED: {type(error).__name__}: {error}"
    return outcome.passed, str(outcome)

"""How the scan's CPU kernels are loaded: compiled once, kept on disk, said aloud."""

import functools
import threading
from collections.abc import Callable

from common.compiled.compiling import compile_notice

_lock = threading.Lock()


@functools.cache
def load_kernel(name: str) -> Callable[..., None]:
    """Return "scan_forward" or "scan_backward", loaded from disk or compiled, with a notice before compiling."""
    with _lock:
        from common.scan.cpu import kernels as cpu_kernels

        kernel = getattr(cpu_kernels, name)
        with compile_notice(name):
            kernel.compile(cpu_kernels.SIGNATURES[name])
        return kernel

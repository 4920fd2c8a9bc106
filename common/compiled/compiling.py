"""How a kernel is declared: compiled by numba, said aloud when that happens, kept on disk."""

import contextlib
import functools
import importlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from common.compiled.cache import KernelCache

logger = logging.getLogger(__name__)
_HERE = Path(__file__).parent
_compiling = threading.Lock()


@functools.cache
def importable() -> bool:
    """Whether numba can be imported; without it plain PyTorch does the work."""
    try:
        importlib.import_module("numba")
    except Exception:  # a broken installation fails in many ways, and none of them may stop a registration
        return False
    return True


def cached_njit(depends: Sequence[Path] = (), **options: Any) -> Callable[[Callable[..., None]], Any]:
    """``numba.njit`` that keeps compiled code on disk as ``common.compiled.cache`` says.

    Args:
        depends: source files whose code ends up inside the function, besides the function's own file: those of all
            that it calls and of all constants that it takes from elsewhere (a test compares them with the imports).
        options: of ``njit``.
    """
    from numba import njit

    def decorate(function: Callable[..., None]) -> Any:
        kernel = njit(**options)(function)
        with contextlib.suppress(OSError):  # no sources at hand: compiled in each process
            kernel._cache = KernelCache(function, depends, options)
        return kernel

    return decorate


def lane_kernels(depends: Sequence[Path] = ()) -> Callable[[Callable[..., None]], Any]:
    """The decorator of kernels that are made of ``lanes``: releases the GIL, checks no bounds, divides by zero as IEEE.

    Args:
        depends: as in ``cached_njit``, besides the lanes themselves.
    """
    own = [_HERE / "lanes.py", _HERE / "width.py"]
    return cached_njit([*own, *depends], nogil=True, error_model="numpy", boundscheck=False)


@contextlib.contextmanager
def compile_notice(name: str) -> Iterator[None]:
    """Log before the first function is really compiled, and how long it took; loading from disk stays silent."""
    from numba.core import event

    class Listener(event.Listener):
        began = 0.0

        def on_start(self, event: Any) -> None:
            if not self.began:
                self.began = time.perf_counter()
                logger.warning("compiling the CPU kernel %s, once on this machine (about ten seconds)", name)

        def on_end(self, event: Any) -> None:
            pass

    listener = Listener()
    with event.install_listener("numba:compile", listener):
        yield
    if listener.began:
        logger.info("compiled %s in %.1f s", name, time.perf_counter() - listener.began)


@functools.cache
def load_kernel(module: str, name: str) -> Callable[..., None]:
    """Return a kernel of a module, compiled or loaded from disk for the types that the module's ``SIGNATURES`` give it.

    The module is imported here, so that nothing needs numba before a kernel is needed. Arrays of another type or layout
    are a TypeError: a kernel that checks no bounds must not be compiled again for something that nobody thought of.
    """
    with _compiling:
        kernels = importlib.import_module(module)
        kernel = getattr(kernels, name)
        if not kernel.signatures:  # asked for again by somebody who forgot it: it refuses to compile by now
            with compile_notice(name):
                kernel.compile(kernels.SIGNATURES[name])
            kernel.disable_compile()
        return kernel

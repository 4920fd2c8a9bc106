"""Kernels that numba compiles: said aloud when they compile, run on this process's own threads."""

import contextlib
import functools
import hashlib
import importlib
import inspect
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

logger = logging.getLogger(__name__)
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


@functools.cache
def importable() -> bool:
    """Whether numba can be imported; without it plain PyTorch does the work."""
    try:
        importlib.import_module("numba")
    except Exception:  # a broken installation fails in many ways, and none of them may stop a registration
        return False
    return True


def cached_njit(depends: Sequence[Path] = (), **options: Any) -> Callable[[Callable[..., None]], Any]:
    """``numba.njit`` that keeps compiled code on disk, or only in memory where no folder for it can be written.

    Args:
        depends: source files whose code ends up inside the function. Numba looks at the date of the function's own
            file only; with these the code on disk counts as stale when the text of any of them changes.
        options: of ``njit``.
    """
    from numba import njit

    def decorate(function: Callable[..., None]) -> Any:
        try:
            kernel = njit(cache=True, **options)(function)
        except RuntimeError:  # "no locator available": neither the package's folder nor the user's cache is writable
            return njit(**options)(function)
        if depends:
            text = b"".join(path.read_bytes() for path in (Path(inspect.getfile(function)), *depends))
            with contextlib.suppress(AttributeError):  # where numba renames its internals, its own check remains
                kernel._cache._cache_file._source_stamp = hashlib.sha256(text).hexdigest()
        return kernel

    return decorate


@contextlib.contextmanager
def compile_notice(name: str) -> Iterator[None]:
    """Log before the first function is really compiled, and how long it took; loading from disk stays silent."""
    from numba.core import event

    class Listener(event.Listener):
        began = 0.0

        def on_start(self, event) -> None:
            if not self.began:
                self.began = time.perf_counter()
                logger.warning("compiling the CPU kernel %s, once on this machine (about ten seconds)", name)

        def on_end(self, event) -> None:
            pass

    listener = Listener()
    with event.install_listener("numba:compile", listener):
        yield
    if listener.began:
        logger.info("compiled %s in %.1f s", name, time.perf_counter() - listener.began)


def run_jobs(chains: list[list[Any]], run: Callable[[Any], None]) -> None:
    """Run lists of jobs, each list in turn, on ``torch.get_num_threads()`` threads, the caller's included."""
    pending = iter(chains)
    threads = min(torch.get_num_threads(), len(chains))
    turn = threading.Lock()

    def work() -> None:
        while True:
            with turn:
                chain = next(pending, None)
            if chain is None:
                return
            for job in chain:
                run(job)

    if threads <= 1:
        return work()
    futures = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    work()
    for future in futures:
        future.result()


def _pool(workers: int) -> ThreadPoolExecutor:
    """This process's pool of that many threads: threads do not survive a fork, so a child makes its own."""
    key = (os.getpid(), workers)
    if key not in _pools:
        for stale in [k for k in _pools if k[0] != os.getpid()]:
            del _pools[stale]
        _pools[key] = ThreadPoolExecutor(workers, thread_name_prefix="kernels")
    return _pools[key]

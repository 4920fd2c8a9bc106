"""How the CPU kernels are loaded (compiled once, said aloud) and run (on this process's own threads)."""

import contextlib
import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

logger = logging.getLogger(__name__)
_lock = threading.Lock()
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


@functools.cache
def load_kernel(name: str) -> Callable[..., None]:
    """Return "scan_forward" or "scan_backward", loaded from disk or compiled, with a notice before compiling."""
    with _lock:
        from common.scan import cpu_kernels

        kernel = getattr(cpu_kernels, name)
        with compile_notice(name):
            kernel.compile(cpu_kernels.SIGNATURES[name])
        return kernel


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
        _pools[key] = ThreadPoolExecutor(workers, thread_name_prefix="scan")
    return _pools[key]

"""Jobs of a kernel, run on this process's own threads."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


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

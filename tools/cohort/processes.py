"""The processes of a cohort: started, watched, and started again behind a pair that killed one."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from typing import Any

from tqdm import tqdm

from common.errors import InputError, find_input_error
from common.streams import LastingStream
from tools.cohort.state import Cohort
from tools.cohort.worker import Work, work

#: Seconds between two looks at what is finished.
EVERY = 0.5


def run(jobs: Sequence[Work]) -> None:
    """Do the jobs, a process each, with a bar of pairs and the time that is left.

    Raises:
        InputError: a process could do nothing at all; its own message stands above.
    """
    watched = [_Watched(job) for job in jobs if job.cohort.pairs]
    total = sum(len(job.cohort.pairs) for job in jobs)
    stream = LastingStream(sys.stderr)
    quiet = 0.1 if stream.isatty() else 30.0
    try:
        with tqdm(total=total, unit="pair", desc="registering", file=stream, smoothing=0, mininterval=quiet) as bar:
            while sum(one.alive() for one in watched):  # every one is looked at, each time
                time.sleep(EVERY)
                bar.update(sum(one.settled() for one in watched))
            bar.update(sum(one.settled() for one in watched))
    finally:
        for one in watched:
            one.stop()


class _Watched:
    """One job and the process that is at it."""

    def __init__(self, job: Work) -> None:
        self.job, self.place = job, 0
        self.process = _start(job)

    @property
    def cohort(self) -> Cohort:
        return self.job.cohort

    def settled(self) -> int:
        """How many pairs were settled since the last look: they are done in order."""
        before = self.place
        while self.place < len(self.cohort.pairs) and self.cohort.settled(self.cohort.pairs[self.place]):
            self.place += 1
        return self.place - before

    def alive(self) -> bool:
        """Whether the job is not at its end; a process that a signal ended is replaced, its pair noted."""
        if self.process.is_alive():
            return True
        code = self.process.exitcode or 0
        if code > 0:
            raise InputError(f"a process of the cohort ended with code {code}, see above")
        left = [pair for pair in self.cohort.pairs[self.place :] if not self.cohort.settled(pair)]
        if code == 0 or not left:
            return False
        name = signal.Signals(-code).name
        self.cohort.fail(left[0], f"its process was ended by {name}; for SIGKILL: out of memory?")
        self.process = _start(replace(self.job, cohort=self.cohort.of(left[1:])))
        return True

    def stop(self) -> None:
        if self.process.is_alive():
            self.process.terminate()
        self.process.join()


def _start(job: Work) -> BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=_process, args=(job,), daemon=False)
    process.start()
    return process


def _process(job: Work) -> None:
    """The body of a process: ends with the one that started it, and prints a user's mistake in one line."""
    parent: Any = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    try:
        work(job)
    except Exception as error:
        cause = find_input_error(error)
        if cause is None:
            raise
        print(f"error: {cause}", file=sys.stderr, flush=True)
        sys.exit(1)

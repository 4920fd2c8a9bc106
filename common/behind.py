"""What follows a pair, done behind the next one: its files are packed and written while the next pair is registered."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from ignite.engine import Engine, Events

from common.switches import switch


class Behind:
    """Handler for MONAI's evaluator: jobs in their order, at once or in a thread of their own.

    At most one pair is behind: the next one waits with its results until the files of the last are there, so that no
    more than one pair more is held in memory. A run ends when all is done.

    Args:
        wanted: false does every job at once.
    """

    def __init__(self, wanted: bool | str = False) -> None:
        self._thread = ThreadPoolExecutor(1, "behind") if switch(wanted) else None
        self._jobs: list[Future[bool]] = []

    def attach(self, engine: Engine) -> None:
        """Wait at the end of a run, whichever end it takes."""
        if self._thread is not None:
            engine.add_event_handler(Events.COMPLETED, lambda _: self.wait())
            engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def readers(self) -> int:
        """Processes that read and align the next pair meanwhile: one, or none where everything is done at once."""
        return 0 if self._thread is None else 1

    def do(self, job: Callable[[], object]) -> None:
        """Do a job after those before it; what it raises, raise here or, in a thread, at the next ``wait``."""
        if self._thread is None:
            job()
        else:
            self._jobs.append(self._thread.submit(self._in_turn, job, self._jobs[-1] if self._jobs else None))

    @staticmethod
    def _in_turn(job: Callable[[], object], before: "Future[bool] | None") -> bool:
        """Do a job unless the one before it failed; whether it was done."""
        if before is not None and (before.exception() is not None or not before.result()):
            return False
        job()
        return True

    def wait(self) -> None:
        """Return when all jobs are done; raise what one raised, and leave out those behind it."""
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            job.result()

    def _fail(self, engine: Engine, error: Exception) -> None:
        self.wait()
        raise error  # ignite swallows an exception that has a handler, unless the handler raises it again

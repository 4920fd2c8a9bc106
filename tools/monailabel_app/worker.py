"""The process that registers: the server's own stays free, and what is cancelled or out of memory ends with it."""

import importlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait
from typing import Any

from common.errors import find_input_error
from tools.monailabel_app.refused import RefusedError

logger = logging.getLogger(__name__)
#: Seconds between two looks at whether a job was cancelled.
_LOOK = 0.1
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")


class CancelledJobError(RefusedError):
    """Somebody ended the job before it was done."""

    def __init__(self) -> None:
        super().__init__(409, "this request was cancelled")


class Worker:
    """One process that does one job after the other, started when the first one comes.

    Args:
        memory: bytes of private memory that it may take; 0 for no bound. Systems other than Linux do not keep it.
        seconds: that one job may take.
        jobs: after so many the process is made anew, so that what libraries keep is given back.
        table: module whose ``WORK`` holds what can be asked for, by name.
    """

    def __init__(
        self, memory: int = 0, seconds: float = 1800, jobs: int = 50, table: str = "tools.monailabel_app.work"
    ) -> None:
        self.memory, self.seconds, self.jobs, self.table = memory, seconds, jobs, table
        self._ending = threading.Lock()  # the server may end while a job fails
        self._process: Any = None
        self._connection: Connection | None = None
        self._done = 0

    def run(self, name: str, arguments: Mapping[str, Any], cancelled: threading.Event) -> dict[str, Any]:
        """Do one job and wait for it; only one thread at a time may call this.

        Args:
            name: of the table.
            arguments: plain values.
            cancelled: ends the job, and its process, when set.

        Raises:
            RefusedError: the images cannot be used (422), the job was cancelled (409), took too long (504) or too much
                memory (503), or failed (500).
        """
        connection, process = self._connected()
        connection.send((name, dict(arguments)))
        end = time.monotonic() + self.seconds
        while not wait([connection, process.sentinel], timeout=_LOOK):
            if cancelled.is_set() or time.monotonic() > end:
                self.stop()
                raise CancelledJobError() if cancelled.is_set() else _too_long(self.seconds)
        status, answer = _answer(connection, process)
        self._done += 1
        if status in (500, 503) or self._done >= self.jobs:
            self.stop()
        if status != 200:
            raise RefusedError(status, answer)
        return answer

    def stop(self) -> None:
        """End the process at once; the next job starts another."""
        with self._ending:
            process, connection = self._process, self._connection
            self._process = self._connection = None
            self._done = 0
        if process is not None:
            process.kill()
            process.join()
        if connection is not None:
            connection.close()

    def _connected(self) -> tuple[Connection, Any]:
        if self._process is None or not self._process.is_alive() or self._connection is None:
            self.stop()
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, self.memory, self.table), daemon=True)
            self._process.start()
            theirs.close()
        return self._connection, self._process


def _answer(connection: Connection, process: Any) -> tuple[int, Any]:
    """What the process sent, or what its end means."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        process.join()
        if process.exitcode == -signal.SIGKILL:
            return 503, "the registration was ended by the system, most likely for want of memory"
        return 500, f"the registration's process ended with code {process.exitcode}"


def _too_long(seconds: float) -> RefusedError:
    return RefusedError(504, f"not done after {seconds:g} seconds")


def _serve(connection: Connection, memory: int, table: str) -> None:
    """The process: jobs come in, a status and an answer go out, until the server has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    _bound_memory(memory)
    work = importlib.import_module(table).WORK
    while True:
        try:
            name, arguments = connection.recv()
        except (EOFError, OSError):
            return
        try:
            connection.send((200, work[name](**arguments)))
        except BaseException as error:  # whatever it was, the server has to hear of it
            connection.send(_said(error))


def _said(error: BaseException) -> tuple[int, str]:
    cause = find_input_error(error)
    if cause is not None:
        return getattr(cause, "status", 422), str(cause)
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY):
        return 503, "these images need more memory than the server may take"
    logger.exception("a job failed")
    return 500, f"the registration failed: {type(error).__name__}"


def _bound_memory(memory: int) -> None:
    """Private memory only: reserved addresses, of which PyTorch takes many, do not count."""
    if memory and os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))

"""The queue in front of the worker: a limit, a position that the client is told, and a way out."""

import itertools
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.monailabel_app.refused import RefusedError, without_paths
from tools.monailabel_app.worker import CancelledJobError, Worker


class Ticket:
    """One request's place in the queue, and a folder for its files."""

    def __init__(self, title: str, folder: Path, position: int) -> None:
        self.id, self.title = uuid.uuid4().hex[:12], title
        self.folder = Path(tempfile.mkdtemp(prefix="job-", dir=folder))
        self.position, self.began = position, time.monotonic()
        self.waited = 0.0
        self.cancelled = threading.Event()

    def remove(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def as_dict(self, position: int) -> dict[str, Any]:
        """What clients are told of it; position 0 is being worked on."""
        seconds = round(time.monotonic() - self.began, 1)
        return {"id": self.id, "title": self.title, "position": position, "seconds": seconds}


class Jobs:
    """First come, first served, one at a time.

    Args:
        worker: what does the work.
        folder: where every ticket gets a folder of its own.
        limit: how many may wait besides the one that is worked on.
    """

    def __init__(self, worker: Worker, folder: Path, limit: int = 8) -> None:
        self.worker, self.folder, self.limit = worker, folder, limit
        self._line: list[Ticket] = []  # the first is, or will next be, worked on
        self._turn = threading.Condition()

    def enter(self, title: str) -> Ticket:
        """Take a place in the queue; ``leave`` gives it back.

        Raises:
            RefusedError: the queue is full (429).
        """
        with self._turn:
            if len(self._line) > self.limit:
                waiting = len(self._line) - 1
                raise RefusedError(429, f"the server is busy: {waiting} requests wait already, try again later")
            ticket = Ticket(title, self.folder, len(self._line))
            self._line.append(ticket)
            return ticket

    def run(self, ticket: Ticket, name: str, arguments: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
        """Wait for the ticket's turn and do its job; several jobs of one ticket keep its place.

        Args:
            ticket: from ``enter``.
            name: of ``work.WORK``.
            arguments: its arguments.
            names: what a client calls the paths among them, for errors.

        Raises:
            RefusedError: see ``Worker.run``.
        """
        with self._turn:
            self._turn.wait_for(lambda: ticket.cancelled.is_set() or self._line[:1] == [ticket])
        ticket.waited = round(time.monotonic() - ticket.began, 1)
        if ticket.cancelled.is_set():
            raise CancelledJobError()
        try:
            return self.worker.run(name, arguments, ticket.cancelled)
        except RefusedError as refusal:
            raise RefusedError(refusal.status, without_paths(str(refusal), names)) from refusal

    def leave(self, ticket: Ticket) -> None:
        """Give the place back; the files stay until ``Ticket.remove``."""
        with self._turn:
            if ticket in self._line:
                self._line.remove(ticket)
            self._turn.notify_all()

    def cancel(self, identity: str) -> None:
        """End the job of a ticket, waiting or running.

        Raises:
            RefusedError: there is none (404).
        """
        with self._turn:
            self.find(identity).cancelled.set()
            self._turn.notify_all()

    def find(self, identity: str) -> Ticket:
        """The ticket of this number.

        Raises:
            RefusedError: there is none (404).
        """
        found = [ticket for ticket in self._line if ticket.id == identity]
        if not found:
            raise RefusedError(404, "no such request is waiting or running")
        return found[0]

    def listed(self) -> list[dict[str, Any]]:
        """Every ticket in order; the first has position 0."""
        with self._turn:
            return [ticket.as_dict(number) for number, ticket in zip(itertools.count(), self._line, strict=False)]

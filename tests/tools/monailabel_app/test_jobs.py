"""The queue: order, limit, positions, cancelling, and files that go."""

import threading
from pathlib import Path
from typing import Any

import pytest

from tools.monailabel_app.jobs import Jobs
from tools.monailabel_app.refused import RefusedError


class SlowWorker:
    """Works until it is told to stop, in the order in which jobs came."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.go = threading.Semaphore(0)
        self.started = threading.Semaphore(0)

    def run(self, name: str, arguments: dict[str, Any], cancelled: threading.Event) -> dict[str, Any]:
        self.started.release()
        self.go.acquire()
        if cancelled.is_set():
            raise RefusedError(409, "cancelled")
        if name == "fail":
            raise RefusedError(422, "moving image /srv/atlases/a/image.nii.gz: damaged, see /srv/other/b.txt")
        self.order.append(arguments["name"])
        return arguments


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(SlowWorker(), tmp_path, limit=2)  # type: ignore[arg-type]


def begin(jobs: Jobs, name: str, work: str = "do") -> tuple[Any, threading.Thread, list]:
    """Enter the queue now and run in a thread; what comes of it is put into a list."""
    ticket, told = jobs.enter(name), []

    def run() -> None:
        try:
            told.append(jobs.run(ticket, work, {"name": name}, {"/srv/atlases/a/image.nii.gz": "atlas a"}))
        except RefusedError as refused:
            told.append((refused.status, str(refused)))
        finally:
            jobs.leave(ticket)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return ticket, thread, told


def test_first_come_first_served(jobs: Jobs):
    threads = [begin(jobs, name)[1] for name in "abc"]
    jobs.worker.go.release(3)
    for thread in threads:
        thread.join(30)
    assert jobs.worker.order == ["a", "b", "c"]
    assert jobs.listed() == []


def test_positions_are_told(jobs: Jobs):
    tickets = [begin(jobs, name)[0] for name in "abc"]
    assert [ticket.position for ticket in tickets] == [0, 1, 2]
    assert [(row["title"], row["position"]) for row in jobs.listed()] == [("a", 0), ("b", 1), ("c", 2)]
    jobs.worker.go.release(3)


def test_a_full_queue_refuses(jobs: Jobs):
    for name in "abc":
        begin(jobs, name)
    with pytest.raises(RefusedError, match="the server is busy: 2 requests wait already") as raised:
        jobs.enter("d")
    assert raised.value.status == 429
    jobs.worker.go.release(3)


def test_who_waits_can_be_cancelled(jobs: Jobs):
    _, first, _ = begin(jobs, "a")
    ticket, second, told = begin(jobs, "b")
    _, third, _ = begin(jobs, "c")
    jobs.cancel(ticket.id)
    second.join(30)
    assert told == [(409, "this request was cancelled")]
    jobs.worker.go.release(2)
    first.join(30)
    third.join(30)
    assert jobs.worker.order == ["a", "c"]


def test_who_is_worked_on_can_be_cancelled(jobs: Jobs):
    ticket, thread, told = begin(jobs, "a")
    jobs.worker.started.acquire()
    jobs.cancel(ticket.id)
    jobs.worker.go.release()
    thread.join(30)
    assert told == [(409, "cancelled")]


def test_nobody_else_can_be_cancelled(jobs: Jobs):
    with pytest.raises(RefusedError, match="no such request") as raised:
        jobs.cancel("0123456789ab")
    assert raised.value.status == 404


def test_errors_name_what_the_client_knows(jobs: Jobs):
    _, thread, told = begin(jobs, "a", work="fail")
    jobs.worker.go.release()
    thread.join(30)
    assert told == [(422, "moving image atlas a: damaged, see b.txt")]


def test_files_go_with_the_ticket(jobs: Jobs, tmp_path: Path):
    ticket = jobs.enter("a")
    (ticket.folder / "upload.nii.gz").write_bytes(b"x")
    jobs.leave(ticket)
    ticket.remove()
    assert list(tmp_path.iterdir()) == []

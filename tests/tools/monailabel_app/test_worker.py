"""The worker process: its answers, its failures, and that it is gone when it has to be."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.monailabel_app.refused import RefusedError
from tools.monailabel_app.worker import Worker

TABLE = "tests.tools.monailabel_app.light_work"


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker(table=TABLE)
    yield made
    made.stop()


def run(worker: Worker, name: str, **arguments) -> dict:
    return worker.run(name, arguments, threading.Event())


def test_one_process_does_job_after_job(worker: Worker):
    first, second = run(worker, "answer", a=1), run(worker, "answer", b="two")
    assert (first["a"], second["b"]) == (1, "two")
    assert first["process"] == second["process"]


def test_it_is_made_anew_after_so_many_jobs():
    worker = Worker(jobs=2, table=TABLE)
    processes = [run(worker, "answer")["process"] for _ in range(3)]
    worker.stop()
    assert processes[0] == processes[1] != processes[2]


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("input", 422, "expected a 3-D image"),
        ("wrapped", 422, "expected a 3-D image"),
        ("memory", 503, "need more memory"),
        ("torch", 503, "need more memory"),
        ("refused", 413, "too many voxels"),
        ("defect", 500, "the registration failed: KeyError"),
    ],
)
def test_failures_have_a_status_and_a_reason(worker: Worker, kind: str, status: int, reason: str):
    with pytest.raises(RefusedError, match=reason) as raised:
        run(worker, "fail", kind=kind)
    assert raised.value.status == status
    assert run(worker, "answer", a=1)["a"] == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [(3, 500), pytest.param(-9, 503, marks=pytest.mark.skipif(sys.platform == "win32", reason="no signals"))],
)
def test_a_process_that_dies_is_replaced(worker: Worker, code: int, status: int):
    with pytest.raises(RefusedError) as raised:
        run(worker, "end", code=code)
    assert raised.value.status == status
    assert run(worker, "answer", a=1)["a"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds private memory")
def test_memory_is_bounded():
    worker = Worker(memory=300 * 10**6, table=TABLE)
    assert run(worker, "allocate", megabytes=20)["bytes"] == 20 * 10**6
    with pytest.raises(RefusedError, match="need more memory"):
        run(worker, "allocate", megabytes=1000)
    worker.stop()


def test_cancelling_ends_the_process(worker: Worker, tmp_path: Path):
    cancelled, told = threading.Event(), []
    started = tmp_path / "started"

    def wait_for_it() -> None:
        try:
            worker.run("wait", {"started": str(started)}, cancelled)
        except RefusedError as refused:
            told.append(refused.status)

    thread = threading.Thread(target=wait_for_it)
    thread.start()
    while not started.exists():
        thread.join(0.02)
    process = worker._process.pid
    cancelled.set()
    thread.join(30)
    assert told == [409]
    assert run(worker, "answer")["process"] != process


def test_a_job_has_so_many_seconds(tmp_path: Path):
    worker = Worker(seconds=0.5, table=TABLE)
    with pytest.raises(RefusedError, match=r"not done after 0\.5 seconds") as raised:
        run(worker, "wait", started=str(tmp_path / "started"))
    assert raised.value.status == 504
    assert worker._process is None

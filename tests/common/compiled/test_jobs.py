"""Jobs on threads of this process: all of them run, each list in turn, and errors reach the caller."""

import threading

import pytest
import torch

from common.compiled import jobs
from common.compiled.jobs import run_jobs


@pytest.mark.parametrize("threads", [1, 3])
def test_every_list_runs_in_turn(threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    done: list[tuple[int, int]] = []
    run_jobs([[(chain, step) for step in range(5)] for chain in range(7)], done.append)
    assert sorted(done) == [(chain, step) for chain in range(7) for step in range(5)]
    for chain in range(7):
        assert [step for c, step in done if c == chain] == list(range(5))


def test_threads_work_at_the_same_time(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    both = threading.Barrier(2, timeout=60)
    run_jobs([[0], [1]], lambda job: both.wait())
    assert both.broken is False


def test_one_list_needs_no_thread(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(jobs, "_pool", None)
    seen: list[str] = []
    run_jobs([[1, 2]], lambda job: seen.append(threading.current_thread().name))
    assert seen == [threading.current_thread().name] * 2


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_reaches_the_caller(threads, monkeypatch):
    def fail(job: int) -> None:
        raise ZeroDivisionError(job)

    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    with pytest.raises(ZeroDivisionError):
        run_jobs([[1], [2]], fail)

"""A process that a signal ends costs the pair that it was at, and no other."""

import os
import signal

import pytest

from common.errors import InputError
from tools.cohort import processes
from tools.cohort.processes import run
from tools.cohort.state import Cohort
from tools.cohort.worker import Work


def dies_at_the_second(job: Work) -> None:
    """Stands for the work: notes each pair as failed, and is killed at pair 1."""
    for pair in job.cohort.pairs:
        if pair["name"] == "pair1":
            os.kill(os.getpid(), signal.SIGKILL)
        job.cohort.fail(pair, "done")


def mistaken(job: Work) -> None:
    raise InputError("nothing works")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Processes that are forked see the replaced work and need no second start of Python."""
    context = processes.multiprocessing.get_context("fork")
    monkeypatch.setattr(processes.multiprocessing, "get_context", lambda kind: context)
    monkeypatch.setattr(processes, "EVERY", 0.01)


def test_the_others_are_done(listed, monkeypatch):
    monkeypatch.setattr(processes, "work", dies_at_the_second)
    run([Work(listed, "tiny")])
    found = [listed.failure(pair) for pair in listed.pairs]
    assert found == ["done", "its process was ended by SIGKILL; for SIGKILL: out of memory?", "done", "done"]


def test_a_mistake_ends_all_of_them(listed, monkeypatch, capfd):
    monkeypatch.setattr(processes, "work", mistaken)
    with pytest.raises(InputError, match="ended with code 1, see above"):
        run(
            [
                Work(Cohort(listed.folder, listed.pairs[:2]), "tiny"),
                Work(Cohort(listed.folder, listed.pairs[2:]), "tiny"),
            ]
        )
    assert "error: nothing works" in capfd.readouterr().err


def test_without_pairs_nothing_is_started(listed, monkeypatch):
    monkeypatch.setattr(processes, "_start", None)
    run([Work(Cohort(listed.folder, []), "tiny")])

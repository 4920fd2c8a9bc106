"""What is done behind a pair: in order, never lost, and what fails is said."""

import threading

import pytest
from ignite.engine import Engine

from common.behind import Behind
from common.errors import InputError


def test_jobs_run_in_their_order_beside_the_caller():
    behind, going, done = Behind(True), threading.Event(), []
    behind.do(going.wait)
    behind.do(lambda: done.append("second"))
    assert done == []
    going.set()
    behind.wait()
    assert done == ["second"]


def test_without_it_a_job_is_done_at_once():
    behind, done = Behind("false"), []
    behind.do(lambda: done.append(threading.current_thread()))
    assert done == [threading.current_thread()] and behind.readers() == 0 and Behind(True).readers() == 1


def test_what_fails_is_raised_at_the_next_wait_and_what_follows_it_is_not_done():
    behind, going, done = Behind(True), threading.Event(), []

    def fail() -> None:
        going.wait()
        raise InputError("warp.nii.gz: expected to write this file, got: No space left on device")

    behind.do(fail)
    behind.do(lambda: done.append("report"))
    going.set()
    with pytest.raises(InputError, match="No space left"):
        behind.wait()
    behind.wait()  # said once
    assert done == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_ends_when_all_is_done(fails: bool):
    behind, done = Behind(True), []

    def iteration(engine: Engine, batch: int) -> None:
        behind.do(lambda: done.append(batch))
        if fails and batch == 1:
            raise InputError("the pair's own")

    engine = Engine(iteration)
    behind.attach(engine)
    if fails:
        with pytest.raises(InputError, match="the pair's own"):
            engine.run([0, 1, 2])
        assert done == [0, 1]
    else:
        engine.run([0, 1, 2])
        assert done == [0, 1, 2]

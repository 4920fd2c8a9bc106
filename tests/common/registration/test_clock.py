import time

import pytest

from common.registration.clock import since_last_stage, stage


def test_stages_add_up_and_the_gap_is_measured():
    data: dict = {}
    with stage(data, "a"):
        time.perf_counter()
    first = data["clock"]["a"]
    with stage(data, "a"):
        pass
    assert data["clock"]["a"] > first > 0
    assert since_last_stage(data) > 0
    assert since_last_stage({}) == 0.0


def test_the_callers_clock_is_not_changed():
    clock = {"start": 0.0}
    data = {"clock": clock}
    with stage(data, "a"):
        pass
    assert clock == {"start": 0.0}


def test_a_stage_that_fails_raises():
    with pytest.raises(KeyError), stage({}, "a"):
        raise KeyError("x")

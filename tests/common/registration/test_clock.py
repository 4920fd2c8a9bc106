import time

import pytest

from common.registration.clock import end_network, registration_seconds, stage


def test_stages_add_up_and_the_gap_is_measured():
    data: dict = {}
    with stage(data, "a"):
        time.perf_counter()
    first = data["clock"]["a"]
    with stage(data, "a"):
        pass
    assert data["clock"]["a"] > first > 0


def test_the_network_ends_once():
    data: dict = {}
    with stage(data, "before"):
        pass
    end_network(data)
    network = data["clock"]["network"]
    with stage(data, "refine"):
        time.perf_counter()
    end_network(data)
    assert data["clock"]["network"] == network > 0
    empty: dict = {}
    end_network(empty)
    assert empty["clock"]["network"] == 0.0


def test_the_callers_clock_is_not_changed():
    clock = {"start": 0.0}
    data = {"clock": clock}
    with stage(data, "a"):
        pass
    assert clock == {"start": 0.0}


def test_a_stage_that_fails_raises():
    with pytest.raises(KeyError), stage({}, "a"):
        raise KeyError("x")


def test_reading_and_writing_are_no_registration():
    clock = {
        "start": 1e6,
        "load": 100.0,
        "network_grid": 1.0,
        "network": 2.0,
        "refine": 8.0,
        "fixed_grid": 4.0,
        "write": 100.0,
    }
    assert registration_seconds(clock) == 15.0
    assert registration_seconds({}) == 0.0

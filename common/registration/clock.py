"""Seconds a stage takes, kept in the pair's own dictionary so that they survive collation and worker processes."""

import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

#: Stages that are the registration itself: neither reading nor measuring nor writing.
_REGISTRATION = ("align", "network_grid", "network", "refine", "fixed_grid")


@contextmanager
def stage(data: dict[Hashable, Any], name: str) -> Iterator[None]:
    """Add the seconds spent inside to ``data["clock"][name]`` and note when it ended under ``"end"``."""
    begin = time.perf_counter()
    yield
    clock = dict(data.get("clock", {}))
    clock["end"] = time.perf_counter()
    clock[name] = float(clock.get(name, 0.0)) + clock["end"] - begin
    data["clock"] = clock


def end_network(data: dict[Hashable, Any]) -> None:
    """Note the network's seconds, from the last stage before it to now; only the first step behind it counts."""
    clock = dict(data.get("clock", {}))
    if "network" not in clock:
        now = time.perf_counter()
        clock["network"] = now - float(clock.get("end", now))
        data["clock"] = clock


def registration_seconds(clock: Mapping[str, float]) -> float:
    """Seconds of the registration itself: from the images in memory to the field on the fixed grid."""
    return sum(float(clock.get(name, 0.0)) for name in _REGISTRATION)

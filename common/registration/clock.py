"""Seconds a stage takes, kept in the pair's own dictionary so that they survive collation and worker processes."""

import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stage(data: dict[Hashable, Any], name: str) -> Iterator[None]:
    """Add the seconds spent inside to ``data["clock"][name]`` and note when it ended under ``"end"``."""
    begin = time.perf_counter()
    yield
    clock = dict(data.get("clock", {}))
    clock["end"] = time.perf_counter()
    clock[name] = float(clock.get(name, 0.0)) + clock["end"] - begin
    data["clock"] = clock


def since_last_stage(data: dict[Hashable, Any]) -> float:
    """Seconds since the last stage ended: between pre- and postprocessing this is the network's time."""
    end = data.get("clock", {}).get("end")
    return 0.0 if end is None else time.perf_counter() - float(end)

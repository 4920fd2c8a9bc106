"""Jobs that need no registration, for the tests of the worker and the queue."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.errors import InputError
from tools.monailabel_app.refused import RefusedError


def answer(**arguments: Any) -> dict[str, Any]:
    """What came, and which process it came to."""
    return {**arguments, "process": os.getpid()}


def wait(started: str) -> dict[str, Any]:
    """Go on for ever once a file says so."""
    Path(started).touch()
    while True:
        time.sleep(0.05)


def fail(kind: str) -> dict[str, Any]:
    """Fail in one of the ways that jobs fail."""
    errors = {
        "input": InputError("fixed image /srv/studies/p1.nii.gz: expected a 3-D image"),
        "wrapped": RuntimeError("applying transform"),
        "memory": MemoryError(),
        "torch": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
        "refused": RefusedError(413, "too many voxels"),
        "defect": KeyError("secret"),
    }
    if kind == "wrapped":
        raise errors[kind] from errors["input"]
    raise errors[kind]


def end(code: int) -> dict[str, Any]:
    """End the process without a word; below 0 by a signal."""
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def allocate(megabytes: int) -> dict[str, Any]:
    """Take memory."""
    return {"bytes": len(bytearray(megabytes * 10**6))}


WORK: dict[str, Callable[..., dict[str, Any]]] = {
    "answer": answer, "wait": wait, "fail": fail, "end": end, "allocate": allocate,
}  # fmt: skip

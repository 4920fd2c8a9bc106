"""``python -m tools benchmark scan|network|registration``: measured on this machine, with the protocol."""

import importlib
from typing import Any

from common.errors import InputError

# what is measured -> module that holds a function named benchmark_<what>
SUBJECTS = {
    "scan": "tools.benchmark.scan",
    "network": "tools.benchmark.network",
    "registration": "tools.benchmark.registration",
}


def benchmark(subject: str, **options: Any) -> None:
    """Measure one subject; its options are those of ``tools.benchmark_<subject>.benchmark_<subject>``.

    Args:
        subject: "scan" (operators), "network" (whole networks) or "registration" (accuracy on a list of pairs).
        options: as the subject's function takes them.

    Raises:
        InputError: an unknown subject, or options that it does not take.
    """
    if subject not in SUBJECTS:
        raise InputError(f"benchmark: expected one of {', '.join(SUBJECTS)}, got {subject!r}")
    function = getattr(importlib.import_module(SUBJECTS[subject]), f"benchmark_{subject}")
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    unknown = sorted(set(options) - set(names))
    if unknown:
        raise InputError(f"benchmark {subject}: unknown option {', '.join(unknown)}; expected {', '.join(names)}")
    function(**options)

"""The command-line door, ``python -m monai.bundle run``: how it ends where a user's input is the cause.

Only that command's own process is touched: a server, a notebook or a test that runs a bundle keeps its hooks.
"""

import sys
from types import TracebackType

from common.errors import find_input_error


def is_command() -> bool:
    """Whether this process is MONAI's bundle command and nothing else."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return getattr(spec, "name", "") == "monai.bundle.__main__"


def end_errors_in_one_line() -> None:
    """In the command's process, print an uncaught ``InputError`` as one line of stderr; the exit code stays 1.

    Any other exception keeps its traceback: it is a defect of ours.
    """
    if is_command():
        sys.excepthook = _one_line


def _one_line(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    cause = find_input_error(error)
    if cause is None:
        sys.__excepthook__(kind, error, traceback)
        return
    sys.stdout.flush()
    print(f"error: {cause}", file=sys.stderr)

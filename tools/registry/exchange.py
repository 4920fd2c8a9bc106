"""Two folders change places in one step, where the system can do that."""

import ctypes
import os
import sys
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # Linux, linux/fs.h
_RENAME_SWAP = 2  # macOS, sys/stdio.h


def exchange(first: Path, second: Path) -> bool:
    """Swap two folders of one file system.

    Returns:
        False where the system or the file system cannot (Windows, some network shares); nothing has changed then.
    """
    names = os.fsencode(first), os.fsencode(second)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux":
            return library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0
        if sys.platform == "darwin":
            return library.renamex_np(*names, _RENAME_SWAP) == 0
    except (AttributeError, OSError, TypeError):  # a C library without it
        pass
    return False

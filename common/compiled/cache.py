"""Compiled kernels on disk: in the user's own cache folder, one file each, and never the reason why a run fails.

It takes the place of numba's cache, which writes into the package (and so into a bundle), lets two versions of a file
push each other out, trusts whatever it finds, and ends the run where that is damaged. Here

- a file's name holds a digest of all that its code depends on, so that two versions or two copies of the project share
  a file only where they would compile the same code;
- a file begins with the checksum of the rest: what was cut short or damaged is compiled anew and replaced;
- code is unpickled only from a folder that belongs to this user (or to root) and that nobody else may write to;
- where nothing can be written, kernels are compiled in each process, and one line in the log says so.

The folder is ``registration-bundles/kernels`` in the platform's folder for caches, or in ``NUMBA_CACHE_DIR`` where that
is set; it may be deleted at any time.
"""

import functools
import hashlib
import inspect
import logging
import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.writing import write_atomically

logger = logging.getLogger(__name__)
_CHECKSUM = hashlib.sha256().digest_size


def kernel_folder() -> Path:
    """The folder of compiled kernels; RuntimeError where the user has no home."""
    from numba.core import config

    if chosen := getattr(config, "CACHE_DIR", ""):  # NUMBA_CACHE_DIR, or numba's own configuration file
        caches = Path(chosen)
    elif sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    else:
        named = Path(os.environ.get("XDG_CACHE_HOME", ""))
        caches = named if named.is_absolute() else Path.home() / ".cache"  # the standard ignores relative ones
    return caches / "registration-bundles" / "kernels"


def usable_folder() -> Path | None:
    """``kernel_folder``; None, with one line in the log, where it cannot be used."""
    try:
        folder = kernel_folder()
        check_folder(folder)
    except (OSError, RuntimeError) as error:
        _say_not_kept(str(error))
        return None
    return folder


def check_folder(folder: Path) -> None:
    """Make the folder for this user alone if it is missing; what lies in it must come from nobody else.

    Raises:
        OSError: there is no such folder, or it or the one around it belongs to or may be written by others.
    """
    for place in (folder.parent, folder):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.stat()
        if hasattr(os, "getuid") and (found.st_uid not in (os.getuid(), 0) or found.st_mode & 0o022):
            raise PermissionError(f"{place} belongs to or may be written by others")


@functools.cache
def _say_not_kept(reason: str) -> None:
    """One line for each reason, however many kernels there are."""
    logger.warning("compiled kernels are not kept, every process compiles its own: %s", reason)


def read_sealed(path: Path) -> bytes | None:
    """What ``write_sealed`` wrote; None where there is no such file, or not as it was written."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.info("%s cannot be read, the kernel is compiled anew: %s", path, error)
        return None
    seal, data = content[:_CHECKSUM], content[_CHECKSUM:]
    if seal != hashlib.sha256(data).digest():
        logger.info("%s is damaged, the kernel is compiled anew", path)
        return None
    return data


def write_sealed(path: Path, data: bytes) -> None:
    """Write a checksum and the data, whole file or none; see ``write_atomically``."""
    write_atomically(path, lambda partial: partial.write_bytes(hashlib.sha256(data).digest() + data))


class KernelCache:
    """One kernel's compiled code on disk, in place of the cache of numba's dispatchers (``numba.core.caching``).

    Args:
        function: the kernel's Python function.
        depends: other files than its own whose text ends up in the code.
        options: of ``njit``.

    Raises:
        OSError: a source cannot be read, so that there is nothing to know the code by.
    """

    def __init__(self, function: Callable[..., None], depends: Sequence[Path], options: Mapping[str, Any]) -> None:
        import llvmlite
        import numba

        own = Path(inspect.getfile(function))
        self.sources = tuple(dict.fromkeys(path.resolve() for path in (own, *depends)))
        self._name = f"{own.stem}.{function.__name__}"
        choices = sorted((key, sorted(v) if isinstance(v, set) else v) for key, v in options.items())
        where = (function.__qualname__, function.__code__.co_firstlineno)
        facts = (where, choices, sys.version, numba.__version__, llvmlite.__version__)
        self._digest = hashlib.sha256(repr(facts).encode())
        for path in self.sources:
            self._digest.update(hashlib.sha256(path.read_bytes()).digest())

    @property
    def cache_path(self) -> Path | None:
        """The folder."""
        return usable_folder()

    def flush(self) -> None:
        """Nothing to do: what is stale has another name."""

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The code for these argument types, or None."""
        from numba.core.compiler import CompileResult

        context.refresh()
        path = self._path(signature, context.codegen())
        data = None if path is None else read_sealed(path)
        try:
            return None if data is None else CompileResult._rebuild(context, *pickle.loads(data))
        except Exception as error:  # whole, and yet not what this numba can use
            logger.info("%s cannot be used, the kernel is compiled anew: %s", path, error)
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep the code for these argument types, if it can be kept."""
        from numba.core.serialize import dumps

        path = self._path(signature, compiled.codegen)
        if path is None or compiled.lifted or compiled.library.has_dynamic_globals:
            return
        try:
            write_sealed(path, dumps(compiled._reduce()))
        except Exception as error:  # a full or read-only disk, or a numba that changed its insides
            reason = getattr(error.__cause__, "strerror", None) or str(error)
            _say_not_kept(f"{path.parent}: {reason}")

    def _path(self, signature: Any, codegen: Any) -> Path | None:
        """The file for these argument types on this processor; None where no folder can be used."""
        folder = usable_folder()
        if folder is None:
            return None
        digest = self._digest.copy()
        digest.update(repr((str(signature), codegen.magic_tuple())).encode())
        return folder / f"{self._name}-{digest.hexdigest()[:40]}.kernel"

"""Files that appear whole or not at all: one file, a folder's set of files, JSON and CSV."""

import csv
import errno
import json
import math
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from common.errors import InputError

#: Bytes of a folder's name: what file systems take, less what ``write_together`` puts around it for a while.
LONGEST_NAME = 255 - len(".") - len(".partial-12345678")
#: Bytes left on a disk below which a writer's error counts as that of a full disk.
_NOTHING_LEFT = 1 << 20


def check_writable(folder: str | Path) -> Path:
    """Return the folder as a path if files can be written there; create nothing that stays.

    Raises:
        InputError: it or an ancestor is a file, or may not be written.
    """
    target = Path(folder).expanduser().absolute()
    if target.is_symlink() and not target.exists():
        raise InputError(
            f"output folder {target}: expected a folder, got a link to {os.readlink(target)}, which is missing"
        )
    existing = target
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise InputError(f"output folder {target}: expected a folder, got a file at {existing}")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(f"output folder {target}: expected to write into {existing}, got {error.strerror}") from error
    return target


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Write one file: it is the old one (or none) until it is the whole new one, also after a loss of power.

    Args:
        path: the file; its folder is made if missing.
        write: writes the file whose path it gets. That name ends like ``path``'s, so that a suffix keeps its meaning.

    Raises:
        InputError: the file cannot be written, such as on a full disk. What else ``write`` raises comes through.
    """
    target = Path(os.path.realpath(path))  # a link stays one: the file that it names is replaced
    partial = target.with_name(f".partial-{uuid.uuid4().hex[:8]}-{target.name[-16:]}")
    try:
        with _named_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.touch()  # says in the system's words what a writer in C++ does not
            write(partial)
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(partial, target)
    finally:
        with suppress(OSError):
            partial.unlink()


def reserve(path: Path, size: int) -> None:
    """Make sure that a file of so many bytes can be written, where the system can tell; the file is empty afterwards.

    Raises:
        OSError: it cannot, such as on a full disk.
    """
    if hasattr(os, "posix_fallocate") and size > 0:
        with path.open("wb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
            file.truncate(0)


def write_together(
    folder: Path, writers: Mapping[str, Callable[[Path], object]], owned: Collection[str] = ()
) -> list[Path]:
    """Write files into a hidden folder beside the target (inside, if it exists), then move them to their names.

    Nothing incomplete ever has a final name: not after an error, and not after a kill, which leaves the hidden folder
    ``.<name>.partial-*`` behind. The last file of ``writers`` moves last; an old one of that name goes before anything
    moves, so that its presence says that the set is complete.

    Args:
        folder: where to; made if missing.
        writers: a function of a path for every file name, in order.
        owned: all names that such a set can have: those not written this time are removed, so that the folder never
            holds files of two runs.

    Returns:
        The final paths.

    Raises:
        InputError: a file cannot be written, such as on a full disk. What else a writer raises comes through.
    """
    # An existing target may be a mount point: its parent then is another file system, or not ours to write in.
    home = folder if folder.is_dir() else folder.parent
    hidden = home / f".{folder.name}.partial-{uuid.uuid4().hex[:8]}"
    try:
        with _named_errors(folder):
            hidden.mkdir(parents=True)
        for name, write in writers.items():
            with _named_errors(folder / name):
                try:
                    write(hidden / name)
                except InputError as error:  # of a writer that names the file itself
                    raise InputError(str(error).replace(str(hidden), str(folder))) from error
        with _named_errors(folder):
            return _publish(hidden, folder, list(writers), set(owned) - set(writers))
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _publish(hidden: Path, folder: Path, names: list[str], stale: set[str]) -> list[Path]:
    if not folder.exists():
        try:
            os.rename(hidden, folder)
            return [folder / name for name in names]
        except OSError:  # somebody made it in between
            pass
    folder.mkdir(exist_ok=True)
    for name in (names[-1], *stale):
        (folder / name).unlink(missing_ok=True)
    for name in names:
        os.replace(hidden / name, folder / name)
    return [folder / name for name in names]


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors into one line that names the file; libraries in C++ raise ``RuntimeError`` for them."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: expected to write this file, got: {error.strerror or error}") from error
    except RuntimeError as error:
        if _room_beside(path) > _NOTHING_LEFT:
            raise
        raise InputError(f"{path}: expected to write this file, got: No space left on device") from error


def _room_beside(path: Path) -> float:
    try:
        return shutil.disk_usage(next(parent for parent in path.parents if parent.exists())).free
    except OSError:
        return math.inf


def json_text(content: Any, digits: int | None = None) -> str:
    """The content as strict JSON with a last newline; see ``plain`` for what becomes of numbers."""
    return json.dumps(plain(content, digits), indent=1, allow_nan=False) + "\n"


def save_json(content: Any, path: str | Path, digits: int | None = None) -> None:
    """Write ``json_text``, whole file or none."""
    text = json_text(content, digits)
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_csv(rows: Sequence[Mapping[str, Any]], path: str | Path, digits: int | None = None) -> None:
    """Write rows as CSV with a header line of all their names, whole file or none. No rows, no file."""
    if not rows:
        return
    names = list(dict.fromkeys(name for row in rows for name in row))

    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows(plain(row, digits) for row in rows)

    write_atomically(path, write)


def plain(content: Any, digits: int | None = None) -> Any:
    """The content in JSON's own types: NumPy numbers as Python's, keys as text, NaN and infinity as None.

    Args:
        content: dictionaries, lists, tuples, numbers, text, None.
        digits: significant digits of floating-point numbers; all of them without it.

    >>> plain({1: (0.123456789, float("nan"))}, digits=6)
    {'1': [0.123457, None]}
    """
    if isinstance(content, Mapping):
        return {str(k): plain(v, digits) for k, v in content.items()}
    if isinstance(content, list | tuple):
        return [plain(v, digits) for v in content]
    if hasattr(content, "item"):
        content = content.item()
    if isinstance(content, float):
        if not math.isfinite(content):
            return None
        return content if digits is None else float(f"{content:.{digits}g}")
    return content

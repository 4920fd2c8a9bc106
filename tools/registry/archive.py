"""A bundle's zip, hostile until proven harmless: its entries are judged first, then unpacked into an empty folder."""

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from common.errors import InputError

MAX_ENTRIES = 2000
MAX_BYTES = 2 * 1024**3
#: Deflated text rarely shrinks to a tenth, and weights hardly shrink at all.
MAX_RATIO = 50
MAX_PATH, MAX_PART, MAX_DEPTH = 200, 100, 8
#: Compiled or pickled: nobody can read what it does, and Python or numba would run it.
CACHES = (".pyc", ".pyo", ".nbi", ".nbc")
BINARIES = (".bat", ".cmd", ".dll", ".dylib", ".exe", ".pkl", ".pickle", ".pth", ".pyd", ".sh", ".so")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
_PORTABLE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+ ")
_CHUNK = 1 << 20
#: What Python's reader raises on bytes that are no sound zip.
UNREADABLE = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError, OSError),
    *(NotImplementedError, OverflowError, RuntimeError, UnicodeError, ValueError),
)


@dataclass(frozen=True)
class Problem:
    """What is wrong with one entry of an archive, or with all of it (``entry`` is empty)."""

    entry: str
    reason: str

    def __str__(self) -> str:
        return f"{self.entry}: {self.reason}" if self.entry else self.reason


def inspect(path: Path, top: str | None = None) -> list[Problem]:
    """Judge an archive by its list of entries; nothing is unpacked.

    Args:
        path: the zip.
        top: the one folder that has to hold everything, the bundle's name; None: any one folder.

    Returns:
        Every problem; none means that ``unpack`` writes plain files below one folder, of bounded size and number.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries, end = archive.infolist(), archive.start_dir
    except UNREADABLE as error:
        return [Problem("", f"expected a zip archive, got: {error}")]
    if not entries:
        return [Problem("", "expected the files of a bundle, got an empty archive")]
    if len(entries) > MAX_ENTRIES:
        return [Problem("", f"expected at most {MAX_ENTRIES} entries, got {len(entries)}")]
    if not all(entry.filename for entry in entries):
        return [Problem("", "expected a name for every entry, got one without")]
    problems = [Problem(entry.filename, reason) for entry in entries for reason in _entry_problems(entry)]
    return problems + list(_clashes(entries)) + list(_overlaps(entries, end)) + list(_bounds(entries, top))


def _entry_problems(entry: zipfile.ZipInfo) -> Iterator[str]:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.orig_filename != entry.filename:
        yield "expected a plain name, got one with a null byte or a backslash"
    if entry.flag_bits & 0x1:
        yield "expected a readable entry, got an encrypted one"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        yield f"expected a stored or deflated entry, got compression method {entry.compress_type}"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        yield "expected a file or a folder, got a link or a device"
    elif (kind == stat.S_IFDIR) != entry.is_dir() and kind:
        yield "expected a file or a folder, got an entry that says both"
    if entry.file_size > MAX_RATIO * entry.compress_size + 4096:
        yield f"expected to grow at most {MAX_RATIO} times, grows from {entry.compress_size} to {entry.file_size} bytes"
    yield from name_problems(entry.filename)


def name_problems(name: str) -> Iterator[str]:
    """Why the path of an entry cannot be written as it is, on every system and below the folder it is meant for."""
    inside = PurePosixPath(name)
    parts = name.rstrip("/").split("/")
    if inside.is_absolute() or ".." in parts or ":" in name or "\\" in name:
        yield "expected a path inside of the bundle, got one that leads out of it"
    elif "" in parts or "." in parts:
        yield "expected a plain path, got an empty or dotted part"
    if not _PORTABLE.issuperset(name.replace("/", "")):
        yield "expected letters, digits and ._-+ in a name, got other characters"
    if len(name) > MAX_PATH or len(parts) > MAX_DEPTH or max(map(len, parts)) > MAX_PART:
        yield f"expected a path of at most {MAX_PATH} characters and {MAX_DEPTH} folders, got a longer one"
    if any(part.endswith((" ", ".")) or part.split(".")[0].lower() in _RESERVED for part in parts if part):
        yield "expected a name that every system can write, got one that Windows cannot"
    if "__pycache__" in parts or name.endswith(CACHES):
        yield "expected source code, got a compiled or pickled cache"
    elif name.lower().endswith(BINARIES):
        yield "expected configurations, weights and source code, got a program or a pickle"
    elif any(part.startswith(".") for part in parts):
        yield "expected visible files, got a hidden one"


def _clashes(entries: list[zipfile.ZipInfo]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for entry in entries:
        name = entry.filename.rstrip("/")
        earlier = seen.setdefault(name.lower(), entry.filename)
        if earlier is not entry.filename:
            kind = "the same name twice" if earlier == entry.filename else f"{earlier}, which differs in case only"
            yield Problem(entry.filename, f"expected names that differ, got {kind}")
    files = {entry.filename.lower() for entry in entries if not entry.is_dir()}
    for entry in entries:
        for parent in PurePosixPath(entry.filename.lower()).parents:
            if str(parent) in files:
                yield Problem(entry.filename, f"expected a folder above it, got the file {parent}")


def _overlaps(entries: list[zipfile.ZipInfo], end: int) -> Iterator[Problem]:
    """Entries that share bytes (a bomb of few kilobytes), and bytes in front of the first entry (another file's)."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    if ordered[0].header_offset != 0:
        yield Problem("", "expected the archive to begin with its first entry, got other bytes in front of it")
    for entry, following in zip(ordered, [*(e.header_offset for e in ordered[1:]), end], strict=True):
        if entry.header_offset + 30 + len(entry.filename) + entry.compress_size > following:
            yield Problem(entry.filename, "expected its own bytes, got bytes that another entry uses too")


def _bounds(entries: list[zipfile.ZipInfo], top: str | None) -> Iterator[Problem]:
    total = sum(entry.file_size for entry in entries)
    if total > MAX_BYTES:
        yield Problem("", f"expected at most {MAX_BYTES} bytes, unpacks to {total}")
    tops = {entry.filename.split("/")[0] for entry in entries}
    if len(tops) > 1 or any("/" not in entry.filename for entry in entries) or (top and tops != {top}):
        wanted = f"one folder {top}" if top else "one folder"
        yield Problem("", f"expected {wanted} that holds everything, got {', '.join(sorted(tops)[:5])}")


@dataclass(frozen=True)
class Unpacked:
    """One file that was written: its SHA-256 and size."""

    sha256: str
    size: int


def unpack(path: Path, target: Path, top: str | None = None) -> dict[str, Unpacked]:
    """Write an archive's files into an empty folder, without the top folder, and flush them to the disk.

    Args:
        path: the zip.
        target: an empty folder of ours.
        top: the bundle's name, see ``inspect``.

    Returns:
        Path inside of the bundle to what was written.

    Raises:
        InputError: the archive has a problem (nothing is written then), or its contents are not what its list says.
    """
    problems = inspect(path, top)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(f"{path}: {problems[0]}{more}")
    written = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            inside = entry.filename.split("/", 1)[1]
            if not entry.is_dir():
                try:
                    written[inside] = _write(archive, entry, target / inside)
                except UNREADABLE as error:
                    reason = getattr(error, "strerror", None) or error
                    raise InputError(f"{path}: {entry.filename}: cannot be unpacked: {reason}") from error
    return written


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> Unpacked:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    # 'x': nothing that exists is written through, whatever put it there.
    with archive.open(entry) as source, target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > entry.file_size:
                raise zipfile.BadZipFile(f"more than the {entry.file_size} bytes that the list of entries says")
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if size != entry.file_size:
        raise zipfile.BadZipFile(f"{size} bytes, the list of entries says {entry.file_size}")
    return Unpacked(digest.hexdigest(), size)

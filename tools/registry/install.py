"""A bundle in the user's folder: staged, flushed, then there in one step; the old version or the new, never a half.

The hidden folder ``.staging`` of the bundle folder holds what is not finished; a kill leaves something there that the
next call removes. ``.installed.json`` in a bundle says what was installed, with the SHA-256 of each file.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from common.errors import InputError
from common.writing import save_json
from tools.registry.archive import CACHES, unpack
from tools.registry.entry import Entry
from tools.registry.exchange import exchange
from tools.registry.files import file_sha256

MANIFEST = ".installed.json"
STAGING = ".staging"


@dataclass(frozen=True)
class Installed:
    """What stands in a bundle's ``.installed.json``.

    Attributes:
        name, version: of the bundle.
        registry: address that it came from.
        sha256: of its archive.
        pinned: whether the user asked for this very version.
        files: path inside of the bundle to SHA-256.
        weights: of an authors' checkpoint that was put in, where it came from and its SHA-256.
    """

    name: str
    version: str
    registry: str
    sha256: str
    pinned: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)

    def changes(self, folder: Path) -> list[str]:
        """What differs from what was installed: files missing, changed or added, Python's and numba's caches aside.

        Args:
            folder: the bundle's.
        """
        there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
        found = [f"missing: {name}" for name in self.files if name not in there]
        for name, path in there.items():
            if name in self.files:
                if path.is_symlink() or file_sha256(path) != self.files[name]:
                    found.append(f"changed: {name}")
            elif name != MANIFEST and not ("__pycache__" in path.parts and path.suffix in CACHES):
                found.append(f"added: {name}")
        if self.weights:
            found.append(f"changed: weights of {self.weights.get('source')} were put in")
        return sorted(found)

    def untouched(self, folder: Path) -> bool:
        """Whether every file is as the publisher signed it."""
        return not self.changes(folder)


def read_manifest(folder: Path) -> Installed | None:
    """What is installed in a folder; None where nothing was installed by us.

    Raises:
        InputError: the manifest is there and cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        installed = Installed(**content)
        texts = (installed.name, installed.version, *installed.files.values(), *installed.weights.values())
        if not all(isinstance(value, str) for value in texts):
            raise TypeError("texts are expected")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: expected what an installation wrote, got: {error}; remove and download again"
        ) from error
    return installed


def installed_bundles(bundle_dir: Path) -> dict[str, Installed]:
    """The bundles of a folder that were installed by us, by name."""
    found = {path.parent.name: read_manifest(path.parent) for path in sorted(bundle_dir.glob(f"*/{MANIFEST}"))}
    return {name: installed for name, installed in found.items() if installed is not None}


@contextmanager
def changing(bundle_dir: Path) -> Iterator[Path]:
    """Hold the folder's lock, with an empty folder for staging; what a killed call left is put right first.

    Raises:
        InputError: the folder cannot be written.
    """
    staging = bundle_dir / STAGING
    try:
        staging.mkdir(parents=True, exist_ok=True)
        lock = FileLock(staging / "lock")
        with lock:
            _recover(bundle_dir, staging)
            work = staging / uuid.uuid4().hex[:12]
            work.mkdir()
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{bundle_dir}: expected to write there, got: {error.strerror or error}") from error


def _recover(bundle_dir: Path, staging: Path) -> None:
    for left in staging.glob("*/old/*"):  # only where two folders cannot change places in one step, see exchange.py
        if not (bundle_dir / left.name).exists() and read_manifest(left) is not None:
            os.rename(left, bundle_dir / left.name)
    for folder in staging.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


def install(
    archive: Path, entry: Entry, bundle_dir: Path, registry: str = "", pinned: bool = False, force: bool = False
) -> Path:
    """Unpack a verified archive and put it in the place of the version before, in one step.

    Args:
        archive: its SHA-256 is the entry's.
        entry: what was signed.
        bundle_dir: the folder of all bundles.
        registry: where it came from, for the record.
        pinned: whether the user asked for this very version.
        force: replace a bundle that was changed, too.

    Returns:
        The bundle's folder.

    Raises:
        InputError: the archive is unsound, the disk is full, or what is there was not installed by us or was changed.
    """
    target = bundle_dir / entry.name
    with changing(bundle_dir) as work:
        check_replaceable(target, force)
        _check_room(bundle_dir, entry)
        new = work / entry.name
        new.mkdir()
        written = unpack(archive, new, entry.name)
        _check_identity(new, entry)
        files = {name: file.sha256 for name, file in written.items()}
        record = Installed(entry.name, str(entry.version), registry, entry.sha256, pinned, files)
        save_json(asdict(record), new / MANIFEST)
        for folder in (new, *(path for path in new.rglob("*") if path.is_dir())):
            _flush(folder)
        put_in_place(new, target, work)
    return target


def put_in_place(new: Path, target: Path, work: Path) -> None:
    """Make ``target`` be what ``new`` is, in one step; what was there before goes away afterwards."""
    if not target.exists():
        os.rename(new, target)
    elif not exchange(new, target):
        (work / "old").mkdir()
        os.rename(target, work / "old" / target.name)
        os.rename(new, target)
    _flush(target.parent)


def check_replaceable(target: Path, force: bool = False) -> None:
    """Refuse to replace or remove what is not ours, or what the user worked on.

    Raises:
        InputError: see above.
    """
    if not target.exists() and not target.is_symlink():
        return
    record = None if target.is_symlink() else read_manifest(target)
    if record is None:
        raise InputError(
            f"{target}: expected nothing or an installed bundle, got something that this command did not make: move it "
            "away, or choose another --bundle_dir"
        )
    changes = record.changes(target)
    if changes and not force:
        raise InputError(
            f"{target}: expected the bundle as it was installed, got {len(changes)} differences ({changes[0]}): move "
            "what you need away, then --force drops them"
        )


def _check_identity(folder: Path, entry: Entry) -> None:
    path = folder / "configs" / "metadata.json"
    try:
        version = json.loads(path.read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{entry.path}: expected the bundle's configs/metadata.json, got: {error!r}") from error
    if version != str(entry.version):
        raise InputError(f"{entry.path}: expected version {entry.version} in its metadata.json, got {version!r}")


def _check_room(folder: Path, entry: Entry) -> None:
    free = shutil.disk_usage(folder).free
    if free < entry.size + (16 << 20):
        raise InputError(f"{folder}: expected {entry.size / 1e6:.0f} MB of room on this disk, got {free / 1e6:.0f} MB")


def _flush(folder: Path) -> None:
    """Have a folder's names on the disk; Windows cannot and need not."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove(name: str, bundle_dir: Path, force: bool = False) -> Path:
    """Remove an installed bundle: it is there whole, or gone.

    Raises:
        InputError: it is not there, is not ours, or was changed.
    """
    target = bundle_dir / name
    with changing(bundle_dir) as work:
        if not target.exists():
            known = ", ".join(installed_bundles(bundle_dir)) or "none"
            raise InputError(f"{target}: expected an installed bundle, got none; installed are: {known}")
        check_replaceable(target, force)
        os.rename(target, work / name)
        _flush(bundle_dir)
    return target

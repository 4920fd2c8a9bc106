"""The user's side: what a registry has, and its archives, each believed only as far as the pinned root reaches."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from packaging.version import InvalidVersion
from tuf.api import exceptions
from tuf.api.metadata import Metadata, Targets
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from common.errors import InputError
from tools.registry.archive import MAX_BYTES
from tools.registry.entry import Entry
from tools.registry.fetch import Fetcher, Progress
from tools.registry.files import file_sha256
from tools.registry.settings import cache_folder, metadata_cache


class Client:
    """One registry, as a user sees it.

    Args:
        url: address of the registry, http, https or file.
        root: content of the pinned ``root.json``.
        offline: use nothing but what earlier calls have fetched.
        fetcher: how bytes are fetched.
    """

    def __init__(self, url: str, root: bytes, offline: bool = False, fetcher: Fetcher | None = None) -> None:
        self.url, self.root, self.offline = url, root, offline
        self.fetcher = fetcher or Fetcher()
        self.known = metadata_cache(url, root)

    def entries(self) -> list[Entry]:
        """All versions of all bundles, from metadata that was verified just now.

        Raises:
            InputError: the registry cannot be reached, or what it says cannot be trusted.
        """
        return [entry for entry in map(_entry, self.targets().targets.values()) if entry is not None]

    def targets(self) -> Targets:
        """The verified list of files; see ``entries``."""
        with self._refreshed():
            # refresh() has just verified and written this file; the lock keeps others from it.
            return Metadata[Targets].from_file(str(self.known / "targets.json")).signed

    def metadata(self) -> dict[str, bytes]:
        """The verified metadata as the files of a registry, in the order in which they may be published.

        Roots older than the pinned one are passed on as they are: who pins one of them verifies what follows.
        """
        with self._refreshed():
            history = self.known / "root_history"
            files = {path.name: path.read_bytes() for path in history.glob("*.root.json")}
            for number in range(1, min(int(name.split(".")[0]) for name in files)):
                name = f"{number}.root.json"
                files[name] = self.fetcher.download_bytes(f"{self.url}/metadata/{name}", 512_000)
            for role in ("targets", "snapshot"):
                content = (self.known / f"{role}.json").read_bytes()
                files[f"{Metadata.from_bytes(content).signed.version}.{role}.json"] = content
            return {**files, "timestamp.json": (self.known / "timestamp.json").read_bytes()}

    @contextmanager
    def _refreshed(self) -> Iterator[None]:
        with locked(self.known / "lock"), self._explained():
            self._updater().refresh()
            yield

    def _updater(self) -> Updater:
        if self.offline and not (self.known / "timestamp.json").is_file():
            raise InputError(
                f"offline, and nothing is known of the registry {self.url} yet: bring a copy of it (its folders "
                "metadata and targets, python -m tools registry mirror) and name that folder by --registry"
            )
        fetcher = _Cached(self.known) if self.offline else self.fetcher
        config = UpdaterConfig(prefix_targets_with_hash=False)
        return Updater(str(self.known), f"{self.url}/metadata/", fetcher=fetcher, config=config, bootstrap=self.root)

    def archive(self, entry: Entry, progress: Progress = lambda count: None) -> Path:
        """The archive of an entry, from the cache or fetched into it, its size and SHA-256 checked in both cases.

        Args:
            entry: one of ``entries``.
            progress: told of the number of bytes of each piece that arrives.

        Raises:
            InputError: it cannot be had, or is not what was signed.
        """
        folder = cache_folder() / "archives"
        path = folder / f"{entry.sha256}.zip"
        with locked(folder / f"{entry.sha256}.lock"):
            if _is(path, entry):
                return path
            if self.offline:
                raise InputError(
                    f"offline, and {entry.path} is not here yet: put the registry's targets/{entry.path} at {path}"
                )
            with self._explained():
                self._fetch(entry, path, progress)
        return path

    def _fetch(self, entry: Entry, path: Path, progress: Progress) -> None:
        if entry.size > MAX_BYTES:
            raise InputError(f"{entry.path}: expected at most {MAX_BYTES} bytes, got {entry.size}")
        part = path.with_suffix(".part")
        address = f"{self.url}/targets/{entry.path}"
        for attempt in range(2):
            resumed = part.exists()
            self.fetcher.save(address, part, entry.size, progress)
            if _is(part, entry):
                with part.open("rb+") as file:
                    os.fsync(file.fileno())
                os.replace(part, path)
                return
            part.unlink()
            if not resumed or attempt:  # a beginning that was left by an earlier call may be at fault: once more
                break
        raise InputError(
            f"{address}: expected the SHA-256 {entry.sha256} that was signed, got other bytes: the file was changed on "
            "the way or on the server; nothing was installed"
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the reasons of The Update Framework into one line each that says what to do."""
        try:
            yield
        except exceptions.ExpiredMetadataError as error:
            raise InputError(
                f"registry {self.url}: expected signatures that still count, got: {error}; its publisher has to sign "
                "again (registry sign), a mirror has to be renewed; and is this machine's clock right?"
            ) from error
        except exceptions.UnsignedMetadataError as error:
            raise InputError(
                f"registry {self.url}: expected signatures of keys that are trusted, got: {error}"
            ) from error
        except exceptions.BadVersionNumberError as error:
            raise InputError(
                f"registry {self.url}: expected a state as new as the one seen before, got an older one: {error}"
            ) from error
        except (exceptions.RepositoryError, InvalidVersion, ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"registry {self.url}: its metadata cannot be trusted: {error}") from error
        except exceptions.SlowRetrievalError as error:
            raise InputError(f"registry {self.url}: the server is too slow: {error}") from error
        except exceptions.DownloadHTTPError as error:
            raise InputError(f"registry {self.url}: expected a registry there, got: {error}") from error
        except exceptions.DownloadError as error:
            raise InputError(f"registry {self.url}: {error}") from error
        except OSError as error:
            raise InputError(
                f"registry {self.url}: expected to write {error.filename}, got: {error.strerror}"
            ) from error


class _Cached(FetcherInterface):
    """Answers from what is known: the last timestamp. Newer roots are not known; the rest tuf reads by itself."""

    def __init__(self, known: Path) -> None:
        self.known = known

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rsplit("/", 1)[-1]
        if name != "timestamp.json":
            raise exceptions.DownloadHTTPError(f"offline: {name} is not known", 404)
        return iter([(self.known / name).read_bytes()])


def _entry(target: object) -> Entry | None:
    return Entry.read(target.path, target.hashes.get("sha256", ""), target.length, target.custom)  # type: ignore[attr-defined]


def _is(path: Path, entry: Entry) -> bool:
    return path.is_file() and path.stat().st_size == entry.size and file_sha256(path) == entry.sha256


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock of the cache; processes wait for one another.

    Raises:
        InputError: the cache cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire()
    except OSError as error:
        raise InputError(f"cache {path.parent}: expected to write there, got: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def find_root(url: str, fingerprint: str, fetcher: Fetcher | None = None) -> bytes:
    """Fetch the root metadata that has a fingerprint.

    Args:
        url: address of the registry.
        fingerprint: SHA-256 in hexadecimal, got from the publisher by another way than from the registry.

    Raises:
        InputError: the registry has no such root.
    """
    wanted, seen = fingerprint.lower().replace(":", "").replace(" ", ""), []
    try:
        for number in range(1, 257):
            content = (fetcher or Fetcher()).download_bytes(f"{url}/metadata/{number}.root.json", 512_000)
            seen.append(hashlib.sha256(content).hexdigest())
            if seen[-1] == wanted:
                json.loads(content)
                return content
    except exceptions.DownloadHTTPError as error:
        if not seen:
            raise InputError(f"registry {url}: expected metadata/1.root.json, got: {error}") from error
    except (exceptions.DownloadError, ValueError) as error:
        raise InputError(f"registry {url}: {error}") from error
    raise InputError(
        f"registry {url}: expected the fingerprint {wanted}, got {', '.join(seen)}: this is not the registry that its "
        "publisher means, or the fingerprint has a mistake; nothing is trusted"
    )

"""Sessions: images that a client uploads for a while and that are no studies."""

import shutil
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.monailabel_app.names import checked_name
from tools.monailabel_app.refused import RefusedError


@dataclass
class Session:
    """One upload: ``image`` is a file, or the folder of a DICOM series."""

    id: str
    image: Path
    seconds: int
    used: float

    def as_dict(self) -> dict[str, Any]:
        """What a client is told."""
        return {"name": self.id, "image": self.image.name, "expiry": self.seconds, "last_access_ts": int(self.used)}


class Sessions:
    """The sessions of one server.

    Args:
        folder: where their files lie.
        longest: seconds after its last use at which a session ends at the latest.
        limit: how many there may be.
        now: the clock.
    """

    def __init__(
        self, folder: Path, longest: int = 3600, limit: int = 20, now: Callable[[], float] = time.time
    ) -> None:
        self.folder, self.longest, self.limit, self.now = folder, longest, limit, now
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def add(self, files: Sequence[Path], expiry: int = 0) -> Session:
        """Make a session of files, which are moved into its folder: one image, or a series of several.

        Raises:
            RefusedError: there are too many already (429).
        """
        self.remove_expired()
        with self._lock:
            if len(self._sessions) >= self.limit:
                raise RefusedError(429, f"expected at most {self.limit} sessions at a time, try again later")
            identity = str(uuid.uuid4())
            target = self.folder / identity / "image"
            target.mkdir(parents=True)
            moved = [Path(shutil.move(file, target / file.name)) for file in files]
            seconds = min(expiry, self.longest) if expiry > 0 else self.longest
            session = Session(identity, moved[0] if len(moved) == 1 else target, seconds, self.now())
            self._sessions[identity] = session
            return session

    def get(self, identity: str) -> Session:
        """The session, used now.

        Raises:
            RefusedError: there is none, or it has ended (404).
        """
        checked_name(identity, "session")
        self.remove_expired()
        with self._lock:
            if identity not in self._sessions:
                raise RefusedError(404, "no such session; it may have ended: upload the image again")
            session = self._sessions[identity]
            session.used = self.now()
            return session

    def remove(self, identity: str) -> Session:
        """End a session and remove its files.

        Raises:
            RefusedError: there is none (404).
        """
        session = self.get(identity)
        with self._lock:
            self._sessions.pop(identity, None)
        shutil.rmtree(self.folder / identity, ignore_errors=True)
        return session

    def remove_expired(self) -> None:
        """End those that nobody used for so long."""
        with self._lock:
            ended = [s.id for s in self._sessions.values() if s.used + s.seconds < self.now()]
            for identity in ended:
                del self._sessions[identity]
        for identity in ended:
            shutil.rmtree(self.folder / identity, ignore_errors=True)

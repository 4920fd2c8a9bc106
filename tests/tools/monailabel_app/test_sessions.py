"""Sessions: uploads that end."""

from pathlib import Path

import pytest

from tools.monailabel_app.refused import RefusedError
from tools.monailabel_app.sessions import Sessions


class Clock:
    """A clock that stands."""

    time = 1000.0

    def __call__(self) -> float:
        return self.time


def files(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).write_bytes(b"image")
    return [folder / name for name in names]


def test_an_image_and_a_series(tmp_path: Path):
    sessions = Sessions(tmp_path / "sessions")
    one = sessions.add(files(tmp_path, "upload.nii.gz"))
    series = sessions.add(files(tmp_path, "0.dcm", "1.dcm"))
    assert one.image.read_bytes() == b"image" and series.image.is_dir() and len(list(series.image.iterdir())) == 2
    assert sessions.get(one.id) is one
    assert one.as_dict()["image"] == "upload.nii.gz" and str(tmp_path) not in str(one.as_dict())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sessions"]


def test_they_end_by_themselves(tmp_path: Path):
    clock = Clock()
    sessions = Sessions(tmp_path / "sessions", longest=60, now=clock)
    long, short = sessions.add(files(tmp_path, "a"), 10**6), sessions.add(files(tmp_path, "b"), 10)
    clock.time += 30
    sessions.get(long.id)
    with pytest.raises(RefusedError, match="no such session") as raised:
        sessions.get(short.id)
    assert raised.value.status == 404
    clock.time += 61
    sessions.remove_expired()
    assert list((tmp_path / "sessions").iterdir()) == []


def test_they_are_removed_with_their_files(tmp_path: Path):
    sessions = Sessions(tmp_path / "sessions")
    session = sessions.add(files(tmp_path, "a"))
    sessions.remove(session.id)
    assert list((tmp_path / "sessions").iterdir()) == []
    with pytest.raises(RefusedError, match="no such session"):
        sessions.remove(session.id)


def test_there_is_a_limit(tmp_path: Path):
    sessions = Sessions(tmp_path / "sessions", limit=1)
    sessions.add(files(tmp_path, "a"))
    with pytest.raises(RefusedError, match="expected at most 1 sessions") as raised:
        sessions.add(files(tmp_path, "b"))
    assert raised.value.status == 429


@pytest.mark.parametrize("identity", ["..", "a/b", ""])
def test_their_numbers_are_names(tmp_path: Path, identity: str):
    with pytest.raises(RefusedError, match="session: expected a plain name"):
        Sessions(tmp_path / "sessions").get(identity)

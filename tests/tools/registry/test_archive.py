"""Hostile archives: each kind is refused with its reason, and nothing is written."""

import stat
import zipfile

import pytest

from common.errors import InputError
from tools.registry.archive import MAX_ENTRIES, inspect, unpack

GOOD = {"tiny/LICENSE": b"text", "tiny/configs/metadata.json": b"{}"}


def write(path, entries=None, compression=zipfile.ZIP_STORED, **attributes):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in [*GOOD.items(), *(entries or [])]:
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            if (name, content) in (entries or []):
                for key, value in attributes.items():
                    setattr(info, key, value)
            archive.writestr(info, content)
    return path


def link(kind):
    return {"external_attr": (kind | 0o777) << 16, "create_system": 3}


ENTRIES = [
    ("tiny/../../evil.py", {}, "leads out of it"),
    ("/etc/cron.d/evil", {}, "leads out of it"),
    ("C:/evil.py", {}, "leads out of it"),
    ("tiny/a/../../../evil", {}, "leads out of it"),
    ("tiny/./a", {}, "empty or dotted part"),
    ("tiny//a", {}, "empty or dotted part"),
    ("tiny/link", link(stat.S_IFLNK), "a link or a device"),
    ("tiny/fifo", link(stat.S_IFIFO), "a link or a device"),
    ("tiny/device", link(stat.S_IFCHR), "a link or a device"),
    ("tiny/both", link(stat.S_IFDIR), "an entry that says both"),
    ("tiny/LICENSE", {}, "the same name twice"),
    ("tiny/Licence.TXT", {}, None),
    ("tiny/license", {}, "which differs in case only"),
    ("Tiny/LICENSE", {}, "which differs in case only"),
    ("tiny/LICENSE/inner", {}, "got the file tiny/license"),
    ("other/file", {}, "expected one folder tiny that holds everything, got other, tiny"),
    ("file", {}, "expected one folder tiny that holds everything"),
    ("tiny/" + "a" * 101, {}, "got a longer one"),
    ("tiny/" + "/".join("abcdefgh"), {}, "got a longer one"),
    ("tiny/common/__pycache__/a.py", {}, "compiled or pickled cache"),
    ("tiny/common/a.pyc", {}, "compiled or pickled cache"),
    ("tiny/common/kernel.py310.1.nbi", {}, "compiled or pickled cache"),
    ("tiny/common/kernel.nbc", {}, "compiled or pickled cache"),
    ("tiny/common/fast.so", {}, "a program or a pickle"),
    ("tiny/models/stats.PKL", {}, "a program or a pickle"),
    ("tiny/common/site.pth", {}, "a program or a pickle"),
    ("tiny/.git/config", {}, "got a hidden one"),
    ("tiny/docs/con.md", {}, "one that Windows cannot"),
    ("tiny/docs/name.", {}, "one that Windows cannot"),
    ("tiny/docs/naïve.md", {}, "got other characters"),
    ("tiny/docs/a\nb.md", {}, "got other characters"),
]


@pytest.mark.parametrize(("name", "attributes", "reason"), ENTRIES, ids=[repr(e[0])[:30] for e in ENTRIES])
def test_entries(tmp_path, name, attributes, reason):
    path = write(tmp_path / "a.zip", [(name, b"x")], **attributes)
    problems = [str(problem) for problem in inspect(path, "tiny")]
    target = tmp_path / "out" / "tiny"
    if reason is None:
        assert problems == []
        return
    assert any(reason in problem for problem in problems), problems
    with pytest.raises(InputError, match=r"a\.zip: "):
        unpack(path, target, "tiny")
    assert [p for p in tmp_path.rglob("*") if p.name != "a.zip"] == []


def test_a_bomb_is_refused_by_its_list(tmp_path):
    path = write(tmp_path / "a.zip", [("tiny/zeros", bytes(20_000_000))], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    assert "expected to grow at most 50 times" in str(inspect(path, "tiny")[0])


def test_too_many_entries(tmp_path):
    path = write(tmp_path / "a.zip", [(f"tiny/{n}", b"") for n in range(MAX_ENTRIES)])
    assert str(inspect(path)[0]) == f"expected at most {MAX_ENTRIES} entries, got {MAX_ENTRIES + 2}"


def test_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.registry.archive.MAX_BYTES", 5)
    assert "expected at most 5 bytes, unpacks to 6" in str(inspect(write(tmp_path / "a.zip"))[0])


def test_two_entries_on_the_same_bytes(tmp_path):
    path = write(tmp_path / "a.zip", [("tiny/second", b"text")])
    with zipfile.ZipFile(path, "a") as archive:
        archive.infolist()[2].header_offset = archive.infolist()[0].header_offset
        archive._didModify = True
    assert any("another entry uses too" in str(problem) for problem in inspect(path, "tiny"))


def test_bytes_in_front(tmp_path):
    path = write(tmp_path / "a.zip")
    path.write_bytes(b"#!/bin/sh\nrm -rf ~\n" + path.read_bytes())
    assert "other bytes in front of it" in str(inspect(path, "tiny")[0])


def test_an_entry_without_a_name(tmp_path):
    path = write(tmp_path / "a.zip")
    path.write_bytes(path.read_bytes().replace(b"tiny/LICENSE", b"\0iny/LICENSE"))
    assert "expected a name for every entry" in str(inspect(path, "tiny")[0])


def test_encrypted(tmp_path):
    path = write(tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "got an encrypted one" in str(inspect(path, "tiny")[0])


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>404</html>", b"PK\x05\x06" + bytes(18)])
def test_no_archive(tmp_path, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    assert str(inspect(path)[0]).startswith("expected ")


def test_flipped_byte_of_a_file(tmp_path):
    path = write(tmp_path / "a.zip")
    path.write_bytes(path.read_bytes().replace(b"text", b"tExt"))
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"tiny/LICENSE: cannot be unpacked: Bad CRC-32"):
        unpack(path, tmp_path / "out", "tiny")


def test_sizes_that_lie(tmp_path):
    path = write(tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 24] += 7
    path.write_bytes(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"the list of entries says 9|cannot be unpacked"):
        unpack(path, tmp_path / "out", "tiny")


def test_nothing_is_written_through_what_is_there(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "out" / "LICENSE").symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match="cannot be unpacked: File exists"):
        unpack(write(tmp_path / "a.zip"), tmp_path / "out", "tiny")
    assert (tmp_path / "victim").read_text() == "mine"


def test_unpacked(tmp_path):
    written = unpack(write(tmp_path / "a.zip", [("tiny/docs/", b"")]), tmp_path / "out", "tiny")
    assert {name: file.size for name, file in written.items()} == {"LICENSE": 4, "configs/metadata.json": 2}
    assert (tmp_path / "out" / "LICENSE").read_bytes() == b"text"

import csv
import json
import os
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from common import writing
from common.errors import InputError
from common.writing import check_writable, json_text, plain, save_json, write_atomically, write_csv, write_together


def text_writer(text: str):
    return lambda path: path.write_text(text)


def failing(path: Path) -> None:
    path.write_text("half")
    raise RuntimeError("disk on fire")


# Where to


def test_a_link_that_leads_nowhere_is_no_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match=r"link: expected a folder, got a link to .*gone, which is missing"):
        check_writable(tmp_path / "link")


def test_unwritable_folders(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"expected a folder, got a file at .*file"):
        check_writable(tmp_path / "file" / "out")
    with pytest.raises(InputError, match="expected a folder, got a file"):
        check_writable(tmp_path / "file")
    if Path("/proc/self").exists():
        with pytest.raises(InputError, match="expected to write into /proc"):
            check_writable("/proc/out")
    assert check_writable(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert not (tmp_path / "a").exists()


# One file


def test_a_file_is_the_old_one_or_the_new_one(tmp_path):
    path = tmp_path / "deep" / "a.nii.gz"
    seen = []
    write_atomically(path, lambda partial: (seen.append(partial), partial.write_text("old")))
    assert seen[0].name.endswith("a.nii.gz")
    assert seen[0].parent == path.parent
    with pytest.raises(RuntimeError, match="disk on fire"):
        write_atomically(path, failing)
    assert path.read_text() == "old"
    write_atomically(str(path), text_writer("new"))
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["a.nii.gz"]


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path):
    path = tmp_path / ("n" * 248 + ".nii.gz")
    write_atomically(path, text_writer("x"))
    assert path.read_text() == "x"


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_atomically(tmp_path / "link", text_writer("new"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_a_file_in_the_way_of_the_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"file/a: expected to write this file, got: (File exists|Not a directory)"):
        write_atomically(tmp_path / "file" / "a", text_writer("x"))


FULL = """
import resource, signal, sys
from pathlib import Path
from common.errors import InputError
from common.writing import write_atomically, write_together
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
def write(path):
    with path.open("wb") as file:
        file.write(bytes(1 << 20))
folder = Path(sys.argv[1])
for call in (lambda: write_atomically(folder / "a.bin", write),
             lambda: write_together(folder / "out", {"a.bin": write, "b": write})):
    try:
        call()
    except InputError as error:
        print(error)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no limit of a file's size here")
def test_a_disk_that_takes_no_more_is_one_line(tmp_path):
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"{tmp_path}/{name}: expected to write this file, got: File too large" for name in ("a.bin", "out/a.bin")
    ]
    assert list(tmp_path.iterdir()) == []


def test_libraries_that_call_a_full_disk_a_runtime_error(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda _: usage(10, 10, 0))
    with pytest.raises(InputError, match="a: expected to write this file, got: No space left on device"):
        write_atomically(tmp_path / "a", failing)
    with pytest.raises(InputError, match="out/a: expected to write this file, got: No space left on device"):
        write_together(tmp_path / "out", {"a": failing})
    assert list(tmp_path.iterdir()) == []


# A set of files


def test_all_files_or_none(tmp_path):
    with pytest.raises(RuntimeError, match="disk on fire"):
        write_together(tmp_path / "out", {"a": text_writer("1"), "b": failing})
    assert list(tmp_path.iterdir()) == []
    paths = write_together(tmp_path / "deep" / "out", {"a": text_writer("1"), "b": text_writer("2")})
    assert [path.read_text() for path in paths] == ["1", "2"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_an_older_result_is_replaced_and_other_files_stay(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("a", "b", "mine"):
        (folder / name).write_text("old")
    with pytest.raises(RuntimeError):
        write_together(folder, {"a": text_writer("new"), "b": failing})
    assert (folder / "a").read_text() == "old"
    write_together(folder, {"a": text_writer("new"), "b": text_writer("new")})
    assert [(folder / name).read_text() for name in ("a", "b", "mine")] == ["new", "new", "old"]
    assert len(list(folder.iterdir())) == 3


def test_files_of_an_older_set_do_not_stay_beside_the_new_ones(tmp_path):
    owned = ("a", "label", "end")
    write_together(tmp_path, {name: text_writer("old") for name in owned}, owned)
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(RuntimeError):
        write_together(tmp_path, {"a": text_writer("new"), "end": failing}, owned)
    assert sorted(os.listdir(tmp_path)) == ["a", "end", "label", "mine"]
    write_together(tmp_path, {"a": text_writer("new"), "end": text_writer("new")}, owned)
    assert sorted(os.listdir(tmp_path)) == ["a", "end", "mine"]


def test_an_existing_folder_is_all_that_is_written_to(tmp_path):
    """Like a mounted volume: what lies around it may be another file system or belong to somebody else."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    seen: list[str] = []
    write_together(folder, {"a": lambda path: (path.write_text("1"), seen.append(str(path)))})
    assert Path(seen[0]).parent.parent == folder
    assert [path.name for path in tmp_path.rglob("*")] == ["mounted", "a"]


def test_a_kill_leaves_nothing_under_a_final_name(tmp_path):
    def killed(_: Path) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        write_together(tmp_path / "out", {"a": text_writer("1"), "b": killed})
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert [path.name[:13] for path in tmp_path.iterdir()] == [".out.partial-"]


# JSON and CSV


def test_plain_content():
    content = {1: np.float32(0.1), "b": [np.int64(3), float("inf"), (1.23456789,)], "c": None, "d": "x", "e": True}
    assert plain(content, digits=6) == {"1": 0.1, "b": [3, None, [1.23457]], "c": None, "d": "x", "e": True}
    assert plain(1.23456789) == 1.23456789


def test_json_comes_back(tmp_path):
    content = {"a": float("nan"), "b": [1, {"c": float("inf"), "ä": 1 / 3}]}
    save_json(content, tmp_path / "m.json")
    text = (tmp_path / "m.json").read_text(encoding="utf-8")
    assert text == json_text(content)
    assert json.loads(text) == {"a": None, "b": [1, {"c": None, "ä": 1 / 3}]}


def test_rows_come_back(tmp_path):
    write_csv([{"a": 1, "b": 0.123456789}, {"a": "x, y", "c": float("nan")}], tmp_path / "t.csv", digits=3)
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["a", "b", "c"], ["1", "0.123", ""], ["x, y", "", ""]]
    write_csv([], tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()

import json
import os
import signal
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from common.errors import InputError
from common.registration import read_field, save_field
from common.registration.files import check_writable, field_as_ddf, save_json, write_together
from tests.common.registration.phantom import centred_affine
from tests.conftest import smooth_ddf


def text_writer(text: str):
    return lambda path: path.write_text(text)


def failing(path: Path) -> None:
    path.write_text("half")
    raise RuntimeError("disk on fire")


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


def test_field_comes_back(tmp_path):
    ddf, affine = smooth_ddf((9, 8, 7))[0], centred_affine((9, 8, 7), spacing=(1, 2, 3), degrees=(10, 20, 30))
    save_field(ddf, affine, tmp_path / "w.nii.gz")
    back, grid = field_as_ddf(tmp_path / "w.nii.gz")
    assert grid.shape == (9, 8, 7)
    assert np.allclose(grid.affine, affine, atol=1e-5)
    assert torch.allclose(back, ddf, atol=1e-5)
    mm, _ = read_field(tmp_path / "w.nii.gz")
    assert torch.allclose(torch.linalg.vector_norm(mm, dim=0).max(), torch.tensor(6.0), atol=2.0)


def test_bad_fields(tmp_path):
    with pytest.raises(InputError, match="got no such file"):
        read_field(tmp_path / "missing.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((5, 5, 5, 3), "f4"), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InputError, match=r"expected shape \(X, Y, Z, 1, 3\), got \(5, 5, 5, 3\)"):
        read_field(tmp_path / "a.nii")
    (tmp_path / "b.nii").write_text("no")
    with pytest.raises(InputError, match="expected a NIfTI file"):
        read_field(tmp_path / "b.nii")


def test_json_without_nan(tmp_path):
    save_json({"a": float("nan"), "b": [1, {"c": float("inf")}]}, tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text()) == {"a": None, "b": [1, {"c": None}]}

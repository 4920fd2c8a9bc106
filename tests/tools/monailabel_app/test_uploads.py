"""Files and parameters of a request."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.monailabel_app.refused import RefusedError
from tools.monailabel_app.uploads import passing_folder, read_params, receive, receive_series


def upload(name: str, content: bytes = b"image") -> SimpleNamespace:
    return SimpleNamespace(filename=name, file=io.BytesIO(content))


@pytest.mark.parametrize(("text", "read"), [("", {}), (None, {}), ("{}", {}), ('{"a": [1]}', {"a": [1]})])
def test_parameters(text: str | None, read: dict):
    assert read_params(text) == read


@pytest.mark.parametrize("text", ["{", "[1]", '"a"', "1", "[" * 100_000, "{'a': 1}", object()])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(RefusedError, match="params: expected a JSON object, got") as raised:
        read_params(text)
    assert raised.value.status == 400


@pytest.mark.parametrize("name", ["a.nii.gz", "/tmp/Slicer/x y.nii.gz", "..\\..\\a.nii.gz", "../../a.nii.gz"])
def test_of_a_files_name_only_the_suffix_is_used(tmp_path: Path, name: str):
    assert receive(upload(name), tmp_path) == tmp_path / "upload.nii.gz"
    assert [path.name for path in tmp_path.iterdir()] == ["upload.nii.gz"]


@pytest.mark.parametrize(("name", "content", "status"), [("a.exe", b"x", 415), ("", b"x", 415), ("a.nii", b"", 422)])
def test_what_is_no_image_file_is_refused(tmp_path: Path, name: str, content: bytes, status: int):
    with pytest.raises(RefusedError) as raised:
        receive(upload(name, content), tmp_path)
    assert raised.value.status == status


def test_files_of_a_series_are_numbered(tmp_path: Path):
    files = receive_series([upload("../a"), upload("/etc/b"), upload("")], tmp_path)
    assert [file.name for file in files] == ["00000.dcm", "00001.dcm", "00002.dcm"]
    assert {file.parent for file in files} == {tmp_path}


def test_a_passing_folder_is_gone_after_a_failure(tmp_path: Path):
    with pytest.raises(RuntimeError), passing_folder(tmp_path) as folder:
        (folder / "upload.nii.gz").write_bytes(b"image")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []

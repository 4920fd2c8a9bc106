"""Archives: the same bytes whatever the machine's settings, and nothing in them that does not belong."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile

import pytest
import yaml

from common.errors import InputError
from tests.tools.registry.tiny import ROOT, make_bundle
from tools import package as command
from tools.package import model_info, pack, package


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "work" / "tiny")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "setting",
    [{"TZ": "Asia/Kathmandu"}, {"TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8"}, {"umask": "077"}, {"mtime": 1}],
)
def test_same_bytes_from_the_same_tree(bundle, tmp_path, setting):
    expected = digest(pack(bundle, tmp_path / "here"))
    if "mtime" in setting:
        for path in bundle.rglob("*"):
            os.utime(path, (1e9, 1e9))
            path.chmod(0o700)
    script = (
        f"import os; os.umask(0o{setting.get('umask', '022')})\n"
        "from pathlib import Path; from tools.package import pack\n"
        f"pack(Path({str(bundle)!r}), Path({str(tmp_path / 'there')!r}))"
    )
    environment = {
        **os.environ,
        **{k: str(v) for k, v in setting.items()},
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": "7",
    }
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, cwd=tmp_path)
    assert digest(tmp_path / "there" / "tiny_v0.1.0.zip") == expected


def test_line_ends_of_the_checkout_do_not_matter(bundle, tmp_path):
    expected = digest(pack(bundle, tmp_path / "here"))
    card = bundle / "docs" / "README.md"
    card.write_bytes(card.read_bytes().replace(b"\n", b"\r\n"))
    assert digest(pack(bundle, tmp_path / "there")) == expected


def test_what_is_inside(bundle, tmp_path):
    for stray in (
        "runs/last.pt",
        "common/__pycache__/a.nbi",
        ".hidden",
        "configs/__pycache__/x.json",
        "models/note.pkl",
    ):
        (bundle / stray).parent.mkdir(parents=True, exist_ok=True)
        (bundle / stray).write_bytes(b"x")
    (bundle / "common" / "__init__.py").write_text("")
    with zipfile.ZipFile(pack(bundle, tmp_path)) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    assert names == [
        *("tiny/LICENSE", "tiny/common/__init__.py", "tiny/configs/inference.json", "tiny/configs/metadata.json"),
        *("tiny/docs/README.md", "tiny/models/model.pt"),
    ]
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}


def test_the_library_comes_along(bundle, tmp_path):
    with zipfile.ZipFile(pack(bundle, tmp_path)) as archive:
        assert archive.read("tiny/common/errors.py") == (ROOT / "common" / "errors.py").read_bytes()
        assert "tiny/common/networks/voxelmorph.py" in archive.namelist()


def test_large_weights_beside_the_archive(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "LARGE", 1000)
    weights = (bundle / "models" / "model.pt").read_bytes()
    (bundle / "common").mkdir()
    (bundle / "common" / "__init__.py").write_text("")
    (bundle / "docs" / "README.md").write_text("short")
    (bundle / "LICENSE").write_text("short")
    with zipfile.ZipFile(pack(bundle, tmp_path, "https://zoo.example/files/")) as archive:
        assert "tiny/models/model.pt" not in archive.namelist()
        large = yaml.safe_load(archive.read("tiny/large_files.yml"))["large_files"]
    (entry,) = [entry for entry in large if "model.pt" in entry["path"]]
    beside = tmp_path / "tiny_v0.1.0_model.pt"
    assert beside.read_bytes() == weights
    assert entry == {
        "path": "models/model.pt",
        "url": f"https://zoo.example/files/{beside.name}",
        "hash_val": digest(beside),
        "hash_type": "sha256",
    }


def test_model_info_is_the_zoos(bundle, tmp_path, capsys):
    package(str(bundle), output_dir=tmp_path / "dist", url="https://zoo.example/files")
    archive = tmp_path / "dist" / "tiny_v0.1.0.zip"
    assert json.loads((tmp_path / "dist" / "model_info.json").read_text()) == {
        "tiny_v0.1.0": {
            "checksum": hashlib.sha1(archive.read_bytes()).hexdigest(),
            "source": "https://zoo.example/files/tiny_v0.1.0.zip",
        }
    }
    assert model_info(archive.parent)["tiny_v0.1.0"]["source"] == archive.name
    assert f"sha256 {digest(archive)}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "expected the name of one bundle, or --all"),
        ({"name": "mambamorph", "all": True}, "expected the name of one bundle, or --all"),
        (
            {"name": "mambamorf"},
            "no bundle mambamorf: expected a folder with .*, or one of: caml_morph",
        ),
        ({"name": "mambamorph", "split_weights": True}, "--split_weights needs --url"),
    ],
)
def test_mistakes_of_the_user(arguments, message, tmp_path):
    with pytest.raises(InputError, match=message):
        package(**arguments, output_dir=tmp_path)


@pytest.mark.parametrize(
    ("version", "message"), [(None, "got None"), ("1.0-rc", "got '1.0-rc'"), ("../1", "got '../1'")]
)
def test_a_version_is_needed(bundle, tmp_path, version, message):
    path = bundle / "configs" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": version}))
    with pytest.raises(InputError, match=f"metadata.json: expected a version such as 1.2.3, {message}"):
        pack(bundle, tmp_path)


def test_a_licence_is_needed(bundle, tmp_path):
    (bundle / "LICENSE").unlink()
    with pytest.raises(InputError, match="expected a LICENSE"):
        pack(bundle, tmp_path)
    assert not list(tmp_path.glob("*.zip"))

"""Registries, records and archives with anything in them: what was signed, or one line that says what is wrong."""

import dataclasses
import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

from common.errors import InputError
from tests.fuzzing import changed, edited, edits, fuzzed
from tests.tools.registry.test_archive import write
from tools.registry.archive import unpack
from tools.registry.client import Client
from tools.registry.install import MANIFEST, Installed, read_manifest
from tools.registry.keys import load_key
from tools.registry.settings import config_file, read_config

FILES = ("timestamp.json", "2.snapshot.json", "2.targets.json", "1.root.json")


@pytest.fixture(scope="module")
def served(first_state, tmp_path_factory):
    """A registry whose files a test may change; the pinned root; each file's parsed content."""
    folder = shutil.copytree(first_state / "registry", tmp_path_factory.mktemp("fuzz") / "registry")
    contents = {name: json.loads((folder / "metadata" / name).read_text()) for name in FILES}
    return folder, (folder / "metadata" / "1.root.json").read_bytes(), contents


def asked(served, name: str, content: bytes) -> None:
    """Ask the registry with one file of its metadata replaced; the entries are those that were signed, or none."""
    folder, root, _ = served
    path = folder / "metadata" / name
    good = path.read_bytes()
    with tempfile.TemporaryDirectory() as cache:
        client = Client(folder.as_uri(), content if name.endswith("root.json") else root)
        client.known = Path(cache)
        path.write_bytes(content)
        try:
            assert all(entry.name == "tiny" and dataclasses.is_dataclass(entry) for entry in client.entries())
        except InputError as error:
            assert "\n" not in str(error) and folder.as_uri() in str(error)
        finally:
            path.write_bytes(good)


@fuzzed
@given(name=st.sampled_from(FILES), replaced=edits(6000))
def test_metadata_with_other_bytes(served, name, replaced):
    folder, _, _ = served
    asked(served, name, edited((folder / "metadata" / name).read_bytes(), replaced))


@fuzzed
@given(name=st.sampled_from(FILES), data=st.data())
def test_metadata_with_any_json_that_its_own_key_has_signed(served, first_state, name, data):
    content = served[2][name]
    signed = data.draw(changed(content["signed"]))
    try:
        text = encode_canonical(signed).encode()
    except Exception:  # numbers with fractions cannot be signed
        text = b"{}"
    role = name.split(".")[-2]
    signature = load_key(role, first_state / "keys").sign(text)
    signatures = [{"keyid": signature.keyid, "sig": signature.signature}]
    asked(served, name, json.dumps({"signatures": signatures, "signed": signed}).encode())


@fuzzed
@given(name=st.sampled_from(FILES), data=st.data())
def test_metadata_of_any_json(served, name, data):
    asked(served, name, json.dumps(data.draw(changed(served[2][name]))).encode())


RECORD = dataclasses.asdict(Installed("tiny", "0.1.0", "file:///registry", "00", False, {"LICENSE": "00"}))


@fuzzed
@given(content=changed(RECORD))
def test_any_record_of_an_installation(content):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, MANIFEST).write_text(json.dumps(content))
        try:
            record = read_manifest(Path(folder))
            assert record is not None and record.changes(Path(folder)) is not None
        except InputError as error:
            assert "expected what an installation wrote" in str(error)


@fuzzed
@given(content=changed({"registry": "https://registry.example", "root": "root.json"}))
def test_any_settings(content):
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text(json.dumps(content))
    try:
        assert all(isinstance(value, str) for value in read_config().values())
    except InputError as error:
        assert "expected a JSON object" in str(error)


@fuzzed
@given(replaced=edits(400))
def test_damaged_archives(tmp_path, replaced):
    """Files below the target, or an ``InputError``, nothing else."""
    good = write(tmp_path / "good.zip").read_bytes()
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        path = Path(folder, "a.zip")
        path.write_bytes(edited(good, replaced))
        Path(folder, "out").mkdir()
        try:
            unpack(path, Path(folder, "out"), "tiny")
        except InputError as error:
            assert str(error)
        assert sorted(p.name for p in Path(folder).iterdir()) == ["a.zip", "out"]

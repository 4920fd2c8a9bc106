"""Installed bundles: what is not ours or was worked on stays, what differs is noticed."""

import pytest

from common.errors import InputError
from tests.tools.registry.tiny import installed_version as version
from tools.download import download
from tools.installed import remove, verify
from tools.registry.install import MANIFEST

pytestmark = pytest.mark.usefixtures("registry")


def test_what_is_not_ours_stays(bundles):
    (bundles / "tiny").mkdir(parents=True)
    (bundles / "tiny" / "mine.txt").write_text("work of a year")
    for refused in (lambda: download("tiny", force=True), lambda: remove("tiny", force=True)):
        with pytest.raises(InputError, match="got something that this command did not make"):
            refused()
    assert (bundles / "tiny" / "mine.txt").read_text() == "work of a year"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "models" / "model.pt").write_bytes(b"mine"), "changed: models/model.pt"),
        (lambda folder: (folder / "LICENSE").unlink(), "missing: LICENSE"),
        (lambda folder: (folder / "note.txt").write_text("x"), "added: note.txt"),
        (lambda folder: (folder / "common" / "evil.py").write_text("x"), "added: common/evil.py"),
    ],
)
def test_changed_bundles_are_noticed_and_kept(bundles, change, message, capsys):
    download("tiny==0.9.0")
    change(bundles / "tiny")
    with pytest.raises(InputError, match="tiny: expected the bundles as they were installed"):
        verify()
    assert message in capsys.readouterr().out
    for refused in (lambda: download("tiny", upgrade=True), lambda: remove("tiny")):
        with pytest.raises(InputError, match=f"1 differences .{message}"):
            refused()
    download("tiny", upgrade=True, force=True)
    verify()
    assert version(bundles) == "0.10.0"


def test_caches_of_python_and_numba_are_no_change(bundles):
    download("tiny")
    cache = bundles / "tiny" / "common" / "__pycache__"
    cache.mkdir()
    for name in ("errors.cpython-311.pyc", "kernels.f-1.py311.nbi"):
        (cache / name).write_bytes(b"x")
    verify("tiny")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": 1}', "[" * 10_000])
def test_a_damaged_record(bundles, content):
    download("tiny")
    (bundles / "tiny" / MANIFEST).write_text(content)
    with pytest.raises(InputError, match="expected what an installation wrote"):
        verify("tiny")

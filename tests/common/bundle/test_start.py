"""Which ``common`` a bundle runs with, tried in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundles.conftest import ROOT

START = (ROOT / "common" / "bundle" / "start.py").read_text()


def write_project(folder: Path, version: str) -> Path:
    """A folder with a small ``common`` of that version, which loads a part of itself late."""
    package = folder / "common"
    (package / "bundle").mkdir(parents=True)
    (package / "__init__.py").write_text(f"VERSION = {version!r}\n")
    (package / "late.py").write_text(f"VERSION = {version!r}\n")
    (package / "bundle" / "__init__.py").write_text(
        "import common\ndef versions():\n    from common import late\n    return common.VERSION, late.VERSION\n"
    )
    (package / "bundle" / "start.py").write_text(START)
    return folder


def python(program: str, cwd: Path) -> subprocess.CompletedProcess:
    head = f"import runpy, sys; use = runpy.run_path({str(ROOT / 'common/bundle/start.py')!r})['use_code']\n"
    return subprocess.run([sys.executable, "-c", head + program], cwd=cwd, capture_output=True, text=True, check=False)


def test_a_common_in_the_current_directory_does_not_come_in_the_way(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "common.py").write_text("raise SystemExit('the wrong one')\n")
    project = write_project(tmp_path / "project", "1")
    done = python(f"use({str(project)!r}); import common; print(common.VERSION)", tmp_path / "here")
    assert done.stdout.split() == ["1"], done.stderr


def test_two_versions_take_turns_whole(tmp_path):
    one, two = (write_project(tmp_path / name, name) for name in ("one", "two"))
    program = (
        f"use({str(one)!r}); import common.bundle as first\n"
        f"use({str(two)!r}); import common.bundle as second; print(*second.versions())\n"
        f"use({str(one)!r}); import common.bundle; print(*first.versions(), common.bundle is first)\n"
        f"use({str(two)!r}); import common.bundle; print(*second.versions(), common.bundle is second)\n"
        f"use({str(two)!r}); print(sys.path.count({str(two)!r}))\n"
    )
    done = python(program, tmp_path)
    assert done.stdout.splitlines() == ["two two", "one one True", "two two True", "1"], done.stderr


@pytest.mark.parametrize("module", ["common.py", "common/__init__.py"])
def test_a_stranger_that_is_loaded_already_is_named(tmp_path, module):
    (tmp_path / module).parent.mkdir(exist_ok=True)
    (tmp_path / module).write_text("")
    project = write_project(tmp_path / "project", "1")
    done = python(f"sys.path.insert(0, {str(tmp_path)!r}); import common; use({str(project)!r})", tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert f"this process has loaded another package named common, from {tmp_path}" in last

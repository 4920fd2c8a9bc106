"""A wheel: it holds every file that a command reads, and its commands run where there is no checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import setuptools

import common
from tests.bundles.conftest import ROOT
from tests.common.registration.phantom import make_image

PACKAGES = ("common", "tools")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build from a copy, so that nothing is left in the checkout."""
    if int(setuptools.__version__.split(".")[0]) < 77:
        pytest.skip("pyproject.toml asks for setuptools 77 or newer")
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(target)]
    subprocess.run([*command, str(source)], check=True, cwd=target, capture_output=True, timeout=300)
    return next(target.glob("*.whl"))


def test_every_file_is_in_it(wheel: Path):
    held = set(zipfile.ZipFile(wheel).namelist())
    files = {p for name in PACKAGES for p in (ROOT / name).rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    missing = sorted(str(p.relative_to(ROOT)) for p in files if p.relative_to(ROOT).as_posix() not in held)
    assert not missing, f"setup.cfg's package_data leaves out {missing}"
    assert not [name for name in held if name.startswith(("tests/", "bundles/", "docs/"))]


def test_a_pair_is_registered_without_a_checkout(wheel: Path, tmp_path: Path):
    """Without a network there is nothing to download; with one, a line says what."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    images = [make_image(tmp_path / f"{name}.nii", deform=by) for name, by in (("fixed", 0.0), ("moving", 1.5))]
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path / "installed"),
        "REGISTRATION_BUNDLES": str(tmp_path / "mine"),
    }
    command = [
        sys.executable,
        "-m",
        "tools",
        "register",
        *map(str, images),
        "out",
        "--align",
        "none",
        "--refine",
        "fast",
    ]
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 300}
    done = subprocess.run([*command, "--bundle", "none"], **options)
    assert done.returncode == 0, done.stderr
    assert "with no network" in done.stdout and (tmp_path / "out" / "moved.nii.gz").is_file()
    done = subprocess.run([*command, "--bundle", "mambamorph"], **options)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "and no bundle is installed; to get one: registration-bundles download mambamorph, or its zip" in done.stderr


def test_its_commands_run_without_a_checkout(wheel: Path, tmp_path: Path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    program = """
import sys, common, tools
from tools.__main__ import main
print(common.__file__, tools.__file__)
sys.argv[0] = "registration-bundles"
sys.exit(main())"""
    for words in (["--version"], ["--help"], ["convert", "--help"]):
        command = [sys.executable, "-c", program, *words]
        done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=300)
        first, *lines = done.stdout.splitlines()
        assert done.returncode == 0 and done.stderr == ""
        assert first.count(str(tmp_path)) == 2
    assert lines[0].startswith("usage: registration-bundles convert BUNDLE CHECKPOINT OUTPUT")


def test_the_version_is_one():
    """setup.cfg reads it from the package; the citation names it too."""
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {common.__version__}\n" in citation
    assert f"## {common.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

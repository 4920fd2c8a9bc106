"""What people's files, folders and machines do to the first command: docs/files.md, row by row, from end to end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.bundles.conftest import ROOT
from tests.common.registration.phantom import make_image
from tools.__main__ import main

SimpleITK = pytest.importorskip("SimpleITK")

QUICK = ("--bundle", "none", "--align", "none", "--refine", "off", "--brain", "none")


@pytest.fixture
def images(tmp_path) -> dict[str, Path]:
    """Two brains of one small grid."""
    make = {"fixed": 0.0, "moving": 1.5}
    return {role: make_image(tmp_path / f"{role}.nii.gz", deform=deform) for role, deform in make.items()}


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """The command in this process, in a folder of its own: exit code, what was printed, and the errors."""
    monkeypatch.chdir(tmp_path)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))  # main replaces both

    def called(*words: object, options: tuple[str, ...] = QUICK) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tools", "register", *map(str, words), *options])
        code = main()
        return code, *capsys.readouterr()

    return called


def started(*words: object, cwd: Path, **settings: object) -> subprocess.CompletedProcess:
    """The command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings.pop("env", {})}
    command = [sys.executable, "-m", "tools", "register", *map(str, words), *QUICK]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, **settings)


@pytest.fixture
def label(images, tmp_path) -> Path:
    """A label map of the moving image."""
    image = nib.load(images["moving"])
    nib.save(
        nib.Nifti1Image((np.asarray(image.dataobj) > 50).astype(np.uint8), image.affine), tmp_path / "label.nii.gz"
    )
    return tmp_path / "label.nii.gz"


def ambiguous(path: Path, codes: tuple[int, int]) -> np.ndarray:
    """Give a file a qform 30 mm away from its sform, with these codes; return the affine that counts."""
    image = nib.load(path)
    sform, qform = image.affine.copy(), image.affine.copy()
    qform[:3, 3] += 30
    image.set_sform(sform, codes[0])
    image.set_qform(qform, codes[1])
    nib.save(image, path)
    return nib.load(path).affine


@pytest.mark.parametrize("codes", [(1, 1), (0, 1), (1, 0), (0, 0), (4, 2)])
def test_every_file_of_a_run_carries_one_affine(images, label, run, codes, caplog):
    affine, _, _ = (ambiguous(path, codes) for path in (*images.values(), label))
    assert run(*images.values(), "out", "--moving_label", label, "--outputs", "all")[0] == 0
    assert ("fixed.nii.gz: sform and qform disagree by up to 30" in caplog.text) == (codes in [(1, 1), (4, 2)])
    on_fixed = ["moved", "warp", "jacobian", "moved_label"]
    for name in on_fixed:
        header = nib.load(f"out/{name}.nii.gz").header
        assert header["sform_code"] > 0 and header["qform_code"] > 0
        for form in (header.get_sform(), header.get_qform()):
            assert np.allclose(form, affine, atol=1e-4), name
    places = [SimpleITK.ReadImage(f"out/{name}.nii.gz").TransformIndexToPhysicalPoint((3, 4, 5)) for name in on_fixed]
    assert np.ptp(places, axis=0).max() < 1e-3


@pytest.mark.skipif(sys.platform == "win32", reason="head and sh")
@pytest.mark.parametrize("pipe", ["2>&1 | head -n 1", ">&- 2>&-", "2>/dev/full"])
def test_nobody_reads_what_is_said(images, tmp_path, pipe):
    words = " ".join(["-m tools register fixed.nii.gz moving.nii.gz out", *QUICK])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(f"{sys.executable} {words} {pipe}", shell=True, cwd=tmp_path, env=environment, timeout=120,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)  # fmt: skip
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["network"] == "no network"


def test_files_of_the_users_own_are_in_the_folder(images, tmp_path):
    """``python -m`` looks there first."""
    for name in ("common.py", "nibabel.txt", "networks/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise RuntimeError('not this one')\n")
    done = started(*images.values(), "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", ["20240102", "1e3", "true", "None", "[1]", "a b", "ü", "x,y", "-x", "#1", "1_000"])
def test_a_folder_may_be_called_anything(images, run, folder):
    code, _, errors = run(*images.values(), f"--output_dir={folder}")
    assert code == 0, errors
    assert (Path.cwd() / folder / "moved.nii.gz").is_file()


@pytest.mark.parametrize("name", ["$x", "%x", "@x", "-x", "a#b", "a b", "~x", "{x}", "a::b", "7", "null"])
def test_an_image_may_be_called_anything(images, label, run, name):
    images["moving"].rename(f"{name}.nii.gz")
    label.rename(f"{name}_label.nii.gz")
    words = [f"--fixed={images['fixed']}", f"--moving={name}.nii.gz", "--output_dir=out"]
    code, _, errors = run(*words, f"--moving_label={name}_label.nii.gz")
    assert code == 0, errors
    assert json.loads(Path("out/metrics.json").read_text())["moving"].endswith(f"{name}.nii.gz")
    assert Path("out/moved_label.nii.gz").is_file()


def test_names_of_147_characters(images, run):
    names = {role: Path(f"{role[0] * 147}.nii.gz") for role in images}
    for role, name in names.items():
        name.write_bytes(images[role].read_bytes())
    assert run(*names.values(), "out")[0] == 0


def test_one_runs_files_are_one_set(images, label, run):
    Path("marks.csv").write_text("x,y,z\n-3,5,8\n")
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    assert run(*images.values(), "out", "--moving_label", label, "--points", "marks.csv")[0] == 0
    first = set(os.listdir("out"))
    assert run(*images.values(), "out", "--outputs", "none")[0] == 0
    gone = {"moved_label.nii.gz", "moved_points.csv", "transform.h5"}
    assert set(os.listdir("out")) == first - gone and gone < first


@pytest.mark.parametrize("role", ["fixed", "moving"])
def test_an_input_is_never_overwritten(images, run, role):
    images[role] = images[role].rename(Path("moved.nii.gz").absolute())
    content = Path("moved.nii.gz").read_bytes()
    code, _, errors = run(f"--fixed={images['fixed']}", f"--moving={images['moving']}", "--output_dir=.")
    assert code == 1 and len(errors.strip().splitlines()) == 1
    assert f"would replace an input ({role} " in errors
    assert Path("moved.nii.gz").read_bytes() == content


@pytest.mark.parametrize("shift", [(60, 0, 0), (0, -135, 0), (90, 90, -45)])
def test_headers_far_apart_are_aligned_or_refused(images, run, shift):
    image = nib.load(images["moving"])
    affine = image.affine.copy()
    affine[:3, 3] += shift
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), images["moving"])
    code, _, errors = run(*images.values(), "out")
    assert code == 1 and "expected an overlap in world space" in errors
    options = ("--bundle", "none", "--refine", "off", "--brain", "none")
    code, printed, errors = run(*images.values(), "out", options=options)
    assert code == 0 and "alignment by" in printed, errors
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["similarity"]["after"]["ncc"] > 0.85 > metrics["similarity"]["before"]["ncc"]


def test_a_patients_name_stays_where_it_was(images, label, run):
    for path in (*images.values(), label):
        image = nib.load(path)
        header = image.header
        header["descrip"], header["db_name"], header["intent_name"] = b"DOE JOHN 1970", b"DOE", b"DOE^JOHN"
        header["aux_file"] = b"doe.txt"
        header.set_intent(3)
        header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Patient: DOE JOHN"))
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, header), path)
    assert run(*images.values(), "out", "--moving_label", label, "--outputs", "all")[0] == 0
    for path in Path("out").glob("*.nii.gz"):
        image = nib.load(path)
        assert not image.header.extensions, path
        assert b"DOE" not in image.header.binaryblock.upper(), path
        assert int(image.header["intent_code"]) == (1007 if path.name in ("warp.nii.gz", "inverse_warp.nii.gz") else 0)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a file's size")
@pytest.mark.parametrize(("size", "name"), [(5_000, "moved.nii.gz"), (20_000, "transform.h5")])
def test_a_full_disk_is_one_line(images, tmp_path, size, name):
    import resource

    done = started(
        *images.values(), "out", "--console", "false", cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/out/{name}: expected to write this file, got: File too large\n"
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


def test_without_the_resource_module(images, tmp_path):
    """As on Windows."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text("import sys\nsys.modules['resource'] = None\n")
    path = os.pathsep.join([str(tmp_path / "blocked"), str(ROOT)])
    done = started(*images.values(), "out", cwd=tmp_path, env={"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["peak_memory_mb"] > 0

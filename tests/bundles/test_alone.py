"""A bundle that stands alone: its folder with ``common`` in it, in an environment that knows nothing of the project."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from common.bundle import Bundle
from tests.bundles.conftest import ROOT, read

#: Files that bring a bundle's workflow to its first own line, and what has to be said there without data.
OTHERS = {
    ("inference.json", "evaluate.json"): "error: an evaluation expects a datalist with pairs and labels",
}


def carry(bundle: Path, folder: Path) -> Path:
    """Copy a bundle with the project's ``common`` beside its configurations, which says that it is this copy."""
    alone = folder / bundle.name
    shutil.copytree(bundle, alone, ignore=shutil.ignore_patterns("docs"))
    shutil.copytree(ROOT / "common", alone / "common", ignore=shutil.ignore_patterns("__pycache__"))
    with (alone / "common" / "__init__.py").open("a") as file:
        file.write("\nimport sys\nprint('the copy of', __path__[0], file=sys.stderr)\n")
    return alone


def run_alone(*words: str, cwd: Path, paths: tuple[Path, ...] = ()) -> subprocess.CompletedProcess:
    """Run MONAI's command without ``site``: an editable installation of the project is not seen."""
    folders = [*map(str, paths), *{sysconfig.get_path(name) for name in ("purelib", "platlib")}]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-S", "-m", "monai.bundle", "run", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=600)


def write_strangers(folder: Path) -> Path:
    """Somebody else's ``common``, as an old version of this project or a stranger's package would be installed."""
    (folder / "common").mkdir(parents=True)
    (folder / "common" / "__init__.py").write_text("raise SystemExit('the wrong common')\n")
    return folder


@pytest.mark.slow
def test_every_bundle_registers_alone(bundle, pair, tmp_path):
    alone = carry(bundle, tmp_path / "elsewhere")
    here = tmp_path / "here"
    here.mkdir()
    (here / "common.py").write_text("raise SystemExit('the wrong common')\n")
    # The steps around the network are the same in every bundle: one runs with all of them.
    fewer = () if bundle.name == "voxelmorph" else ("--align", "none", "--refine", "off")
    done = run_alone(
        *("--config_file", str(alone / "configs" / "inference.json")),
        *("--fixed", str(pair[0]), "--moving", str(pair[1]), *fewer),
        *("--output_dir", str(tmp_path / "out"), "--load_pretrain", str((bundle / "models" / "model.pt").exists())),
        cwd=here,
        paths=(write_strangers(tmp_path / "installed"),),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count(f"the copy of {alone / 'common'}") == 1
    image, moved = nib.load(pair[0]), nib.load(tmp_path / "out" / "moved.nii.gz")
    assert moved.shape == image.shape
    np.testing.assert_allclose(moved.affine, image.affine)
    field = nib.load(tmp_path / "out" / "warp.nii.gz")
    assert field.shape == (*image.shape, 1, 3)
    assert field.header["intent_code"] == 1007
    assert np.isfinite(field.get_fdata()).all()
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["network"] == read(bundle / "configs" / "metadata.json")["name"]
    options = {"refine": "off"} if fewer else {}
    assert metrics["passes"] == Bundle(bundle).parser(**options).get_parsed_content("passes")
    assert metrics["weights"]["file"] == str(alone / "models" / "model.pt")
    assert "written to" in done.stdout and "Traceback" not in done.stderr
    # Every step ran; what the refinement made may have given way to the alignment, which is said then.
    assert fewer or ("alignment" in metrics and not {"refinement", "fallback"}.isdisjoint(metrics))


@pytest.mark.parametrize("files", OTHERS, ids="+".join)
def test_every_configuration_starts_alone(files, tmp_path):
    alone = carry(ROOT / "bundles" / "voxelmorph", tmp_path)
    done = run_alone(
        "--config_file", str([str(alone / "configs" / name) for name in files]), "--output_dir", "out", cwd=Path("/")
    )
    assert done.returncode == 1 and OTHERS[files] in done.stderr.strip().splitlines()[-1]
    assert f"the copy of {alone / 'common'}" in done.stderr


def test_nothing_before_the_run_names_the_project(bundle):
    """MONAI puts a bundle's folder on the path when a run starts: what is evaluated earlier may not need ``common``."""
    for path in sorted((bundle / "configs").glob("*.json")):
        config = read(path)
        early = {key: config.get(key, []) for key in ("imports", "+imports", "initialize", "bundle_root", "code")}
        assert "common." not in json.dumps(early), path.name

"""The apply command, and the page about it: every command that stands there runs."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from common.geometry.transforms import Affine
from common.images import save_volume
from common.registration.segmentations import Segmentation, write_segmentation
from common.registration.transform_files import write_transform
from tests.common.geometry.test_transforms import GRID, affine, field
from tests.common.registration.phantom import brain, world_points
from tests.house import ROOT
from tools.__main__ import main

pytest.importorskip("SimpleITK")
PAGE = (ROOT / "docs" / "apply.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m tools (apply .*)$", PAGE, re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the page names."""
    image = brain(world_points(GRID.shape, GRID.affine))
    for name in ("fixed", "moving", "other_contrast"):
        save_volume(image, GRID.affine, tmp_path / f"{name}.nii.gz")
    for name in ("labels", "fixed_labels"):
        save_volume(image > 30, GRID.affine, tmp_path / f"{name}.nii.gz", np.uint8)
    write_segmentation(Segmentation((image > 30).astype(np.uint8)[None], GRID, {}), tmp_path / "tumour.seg.nrrd")
    (tmp_path / "points.csv").write_text("x,y,z,t\n-3,5,8,0\n")
    control = {"label": "AC", "position": [-3.0, 5.0, 8.0]}
    markups = {"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": [control]}]}
    (tmp_path / "marks.mrk.json").write_text(json.dumps(markups))
    (tmp_path / "result").mkdir()
    write_transform(field(), tmp_path / "result" / "warp.nii.gz")
    write_transform(field(), tmp_path / "warp.nii.gz")
    write_transform(Affine(np.eye(4) + 0.2 * (affine() - np.eye(4))), tmp_path / "affine.mat")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["tools", *words.split()])
    out, err = sys.stdout, sys.stderr
    try:
        return main()
    finally:
        sys.stdout, sys.stderr = out, err


@pytest.mark.parametrize("words", COMMANDS)
def test_the_page_runs(words: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert run(words, monkeypatch) == 0
    written = re.findall(r"^written: (.*)$", capsys.readouterr().out, re.MULTILINE)
    assert len(written) == len(re.findall(r"\S+", words.partition("--input ")[2].partition(" --")[0]))
    assert all((folder / name).stat().st_size > 0 for name in written)


def test_the_python_of_the_page_runs(folder: Path):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "docs/apply.md", "exec"), {})
    assert (folder / "moved.nii.gz").is_file()


def test_the_page_has_its_commands():
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ("apply --transform warp.nii.gz --input moving.nii.gz", 2, "apply needs --output"),
        ("apply --transform no.h5 --input moving.nii.gz --output x.nii.gz --reference fixed.nii.gz", 1,
         "error: transform no.h5: expected a file, got no such file"),
        ("apply --transform warp.nii.gz --input moving.nii.gz --output x.nii.gz", 1, "expected a reference"),
        ("apply --transform warp.nii.gz --input moving.nii.gz --output moving.nii.gz --reference fixed.nii.gz", 1,
         "it would replace an input"),
    ],
)  # fmt: skip
def test_a_mistake_ends_in_one_line(
    words: str, code: int, text: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run(words, monkeypatch) == code
    errors = capsys.readouterr().err
    assert text in errors and errors.count("\n") == 1

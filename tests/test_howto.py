"""The how-to pages: every command of this project on them runs, on small images, and does what its page says."""

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from common.geometry.transforms import Affine, apply_to_points
from common.registration.transform_files import read_transform, write_transform
from tests.common.bundle.test_run import write_bundle
from tests.common.registration.phantom import make_image
from tests.house import ROOT
from tools.__main__ import main

pytest.importorskip("SimpleITK")
PAGES = sorted((ROOT / "docs" / "howto").glob("*.md"))
#: What makes a run small where a command does not choose otherwise.
CHEAP = {"--device": "cpu", "--spacing": "4", "--refine": "off", "--align": "none", "--brain": "none"}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The images, labels and transforms that the pages name, and bundles with a tiny network under the pages' names."""
    for name, further in {"fixed": {}, "moving": {"degrees": (3, 0, 5), "code": "LPI", "deform": 1.5}}.items():
        make_image(tmp_path / f"{name}.nii.gz", **further)
        image = nib.load(tmp_path / f"{name}.nii.gz")
        labels = (np.asarray(image.dataobj) > 40).astype(np.uint8)
        nib.save(nib.Nifti1Image(labels, image.affine), tmp_path / f"{name}_label.nii.gz")
    for name in ("start.tfm", "0GenericAffine.mat"):
        write_transform(Affine(np.eye(4)), tmp_path / name)
    np.savetxt(tmp_path / "flirt.mat", np.eye(4))
    write_bundle(tmp_path / "bundle", 1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def cheap(words: list[str]) -> list[str]:
    """The command, small: its own options stand, and the default bundle is the tiny one."""
    if words[0] != "register":
        return words
    bundle = {} if "--bundle" in words else {"--bundle": "bundle"}
    return [*words, *(word for key, value in {**CHEAP, **bundle}.items() if key not in words for word in (key, value))]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "bash")], ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(page: Path, files: Path, monkeypatch):
    for command in "".join(blocks(page, "bash")).strip().splitlines():
        words = shlex.split(command)
        assert words[:3] == ["python", "-m", "tools"], f"{command}: is it this project's?"
        monkeypatch.setattr(sys, "argv", ["/somewhere/tools/__main__.py", *cheap(words[3:])])
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = main()
        assert code == 0, f"{command}: {printed.getvalue()}"
        if "--output_dir" in words and "--plan" not in words:
            assert (files / words[words.index("--output_dir") + 1] / "metrics.json").is_file()


def test_the_python_of_the_pages_runs(files: Path):
    """FLIRT's identity puts the corners of both images on each other, those of the x axis of neurological ones."""
    (block,) = blocks(ROOT / "docs" / "howto" / "other_programs.md", "python")
    exec(compile(block, "other_programs.md", "exec"), {})
    transform = read_transform(files / "from_flirt.mat")
    fixed, moving = nib.load(files / "fixed.nii.gz"), nib.load(files / "moving.nii.gz")
    corners = []
    for image in (fixed, moving):
        first = [image.shape[0] - 1 if np.linalg.det(image.affine[:3, :3]) > 0 else 0, 0, 0, 1]
        corners.append((image.affine @ first)[:3])
    assert np.allclose(apply_to_points(transform, [corners[0]])[0], corners[1], atol=1e-4)


def test_the_pages_are_listed_and_their_links_lead_somewhere():
    listed = (ROOT / "docs" / "howto" / "README.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert page.name == "README.md" or f"({page.name})" in listed
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_readmes_register_runs(files: Path):
    block = next(block for block in blocks(ROOT / "README.md", "python") if "import register" in block)
    nib.save(nib.load(files / "moving.nii.gz"), files / "other_contrast.nii.gz")
    cheap_call = block.replace('bundle="mambamorph"', 'bundle="bundle", align="none", refine="off"')
    assert cheap_call != block
    names: dict = {}
    exec(compile(cheap_call, "README.md", "exec"), names)
    assert names["result"].moved.shape == nib.load(files / "fixed.nii.gz").shape

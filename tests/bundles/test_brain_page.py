"""The page about heads: its commands register a head, with the extra and without, with masks and exclusions."""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import common.registration.brain as brain
from common.bundle import Bundle
from common.images import save_volume
from tests.common.registration.test_brain import head_mr
from tests.house import ROOT

PAGE = (ROOT / "docs" / "brain.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m tools register (.*)$", PAGE, re.MULTILINE)
#: What makes the phantom quick; the commands themselves take the defaults.
QUICK = {"spacing": 4.0, "passes": [1], "align": "none", "refine": "fast", "device": "cpu"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the page names."""
    head, inside, affine = head_mr()
    stripped = np.where(inside, head, 0)
    lesion = inside & (np.indices(inside.shape)[0] > 60) & (np.indices(inside.shape)[2] > 75)
    files = {"fixed": stripped, "head": head, "brain": stripped, "mask": inside, "lesion": lesion}
    for name, volume in files.items():
        save_volume(volume, affine, tmp_path / f"{name}.nii.gz", np.uint8 if volume.dtype == bool else np.float32)
    monkeypatch.setattr(brain, "is_installed", lambda: True)
    monkeypatch.setattr(brain, "extract_by_network", lambda *_: inside)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", COMMANDS)
def test_the_commands_run(words: str, folder: Path):
    """The options of ``tools register`` are the configuration's keys, but for the bundle and the folder."""
    options = dict(re.findall(r"--(\w+) (\S+)", words))
    bundle, output = options.pop("bundle"), options.pop("output_dir")
    (result,) = Bundle(bundle).register(options, output, **QUICK)
    given = "moving_mask" in options
    assert (folder / output / "moving_brain_mask.nii.gz").exists() is (options["moving"] == "head.nii.gz" and not given)
    method = {"head.nii.gz": "given" if given else "deepbet", "brain.nii.gz": "none"}[options["moving"]]
    assert result.metrics["brain"]["moving"]["method"] == method
    assert nib.load(folder / output / "moved.nii.gz").shape == nib.load("fixed.nii.gz").shape


def test_the_page_has_its_commands():
    assert len(COMMANDS) == 3

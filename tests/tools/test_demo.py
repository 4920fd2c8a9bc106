"""The demo on the sample pair: the true error falls, and what is promised is written."""

import json

import nibabel as nib
import numpy as np
import pytest

from common.sample import FOLDER as SAMPLE
from tools.demo import demo


@pytest.mark.slow
def test_the_demo_brings_the_sample_pair_closer(tmp_path, capfd):
    demo(output_dir=str(tmp_path / "out"))
    printed = capfd.readouterr().out
    assert "distance to the true field: mean 4.90 to" in printed
    assert "python -m monai.bundle run" in printed
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    before, after = (metrics["tre_mm"][when]["mean"] for when in ("before", "after"))
    assert before == pytest.approx(4.9, abs=0.1)  # the sample's own true displacement
    assert after < 0.95 * before
    assert metrics["field"]["folds_percent"] < 0.5


def test_the_sample_is_what_its_page_says():
    fixed, moving = nib.load(SAMPLE / "fixed_t1.nii.gz"), nib.load(SAMPLE / "moving_ct.nii.gz")
    assert nib.aff2axcodes(fixed.affine) == ("R", "A", "S")
    assert nib.aff2axcodes(moving.affine) == ("P", "I", "R")
    np.testing.assert_allclose(moving.header.get_zooms(), (1.2, 2.0, 1.0), atol=1e-6)
    assert moving.get_data_dtype() == np.int16
    assert np.abs(moving.affine[:3, :3]).astype(bool).sum() == 9  # oblique
    field = nib.load(SAMPLE / "true_field.nii.gz")
    assert field.header.get_intent()[0] == "vector"
    assert sum(path.stat().st_size for path in SAMPLE.glob("*.nii.gz")) < 4e6
    assert "Louis Collins" in (SAMPLE / "README.md").read_text()

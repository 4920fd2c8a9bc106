"""Alignment as a step of the pipeline: what it adds, what it says, and a whole run of a pair that lies elsewhere."""

import json
import logging

import numpy as np
import pytest

from common.bundle import Bundle
from common.errors import InputError
from common.images import save_volume
from common.registration import AlignPaird, LoadPaird
from tests.common.bundle.test_run import write_bundle
from tests.common.registration.phantom import centred_affine, make_image


@pytest.fixture
def files(tmp_path):
    """A head-like ball and the same voxels 90 mm further and turned by 20 degrees, in another header."""
    shape = (44, 48, 40)
    fixed = make_image(tmp_path / "fixed.nii.gz", shape=shape, spacing=(3.0, 3.0, 3.0))
    turn = np.eye(4)
    angle = np.deg2rad(20)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:3, 3] = (90, -40, 10)
    import nibabel

    image = nibabel.load(fixed)
    save_volume(np.asarray(image.dataobj), turn @ image.affine, tmp_path / "moving.nii.gz")
    return {"fixed": str(fixed), "moving": str(tmp_path / "moving.nii.gz")}, turn


def test_the_way_between_two_headers_is_found(files):
    paths, turn = files
    out = AlignPaird()(LoadPaird()(paths))
    corner = np.array([[30.0, -20, 25, 1], [-25, 30, -20, 1], [0, 0, 0, 1]])
    found = corner @ out["alignment"].numpy().T - corner @ turn.T
    assert np.abs(found).max() < 2.0
    figures = json.loads(out["alignment_figures"])
    assert figures["kind"] in ("rigid", "affine") and figures["word"] and "align" in out["clock"]


def test_none_leaves_everything_as_it_is(files):
    data = LoadPaird()(files[0])
    assert AlignPaird("none")(data).keys() == data.keys()


def test_an_implausible_alignment_is_said_aloud(files, caplog, tmp_path):
    noise = np.random.default_rng(0).random((30, 30, 30)).astype(np.float32)
    save_volume(noise, centred_affine((30, 30, 30)), tmp_path / "noise.nii.gz")
    with caplog.at_level(logging.WARNING):
        AlignPaird()(LoadPaird()({"fixed": files[0]["fixed"], "moving": str(tmp_path / "noise.nii.gz")}))
    assert "the alignment may be wrong" in caplog.text


def test_what_is_no_mode():
    with pytest.raises(InputError, match="align: expected one of auto, rigid, affine, none, got 'yes'"):
        AlignPaird("yes")


def test_a_run_brings_a_pair_together_that_does_not_overlap(files, tmp_path):
    paths, _ = files
    bundle = Bundle(write_bundle(tmp_path / "bundle", 1))
    with pytest.raises(InputError, match="expected an overlap in world space"):
        bundle.register(paths, tmp_path / "left")
    (result,) = bundle.register(paths, tmp_path / "out", align="auto", load_pretrain=False, refine="fast")
    assert result.metrics["similarity"]["after"]["ncc"] > 0.95
    assert result.metrics["alignment"]["pose"]["shift_mm"] > 50

"""Alignment as a step of the pipeline: what it adds, what it says, and a whole run of a pair that lies elsewhere."""

import json
import logging

import numpy as np
import pytest
import torch

from common.bundle import Bundle
from common.errors import InputError
from common.geometry.transforms import Affine
from common.images import save_field, save_volume
from common.registration import AlignPaird, LoadPaird, registration_pairs
from common.registration.transform_files import write_transform
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


def initial_file(matrix, folder, name="initial.mat"):
    write_transform(Affine(matrix), folder / name)
    return str(folder / name)


def test_none_takes_an_initial_transform_as_it_is(files, tmp_path):
    paths, turn = files
    for name in ("initial.mat", "initial.tfm", "initial.txt", "initial.h5"):
        out = AlignPaird("none")(LoadPaird()({**paths, "initial": initial_file(turn, tmp_path, name)}))
        assert np.allclose(out["alignment"].numpy(), turn, atol=1e-6)
        figures = json.loads(out["alignment_figures"])
        assert (figures["kind"], figures["start"]) == ("given", "initial")
        assert figures["word"] == "the initial transform as it is: 20 degrees, 100 mm, scale 1.00"


@pytest.mark.parametrize("swapped", [False, True])
def test_an_initial_transform_is_never_made_worse(files, tmp_path, swapped):
    """The exact map, which no climb can better, and a shift that is 12 mm off, which is refined."""
    paths, turn = files
    if swapped:
        paths, turn = {"fixed": paths["moving"], "moving": paths["fixed"]}, np.linalg.inv(turn)
    corner = np.array([[30.0, -20, 25, 1], [-25, 30, -20, 1], [0, 0, 0, 1]])
    corner = corner @ np.linalg.inv(turn).T if swapped else corner  # in the fixed image
    off = turn.copy()
    off[:3, 3] += (8, -8, 4)
    for given, most in ((turn, 0.6), (off, 2.0)):
        out = AlignPaird("rigid")(LoadPaird()({**paths, "initial": initial_file(given, tmp_path)}))
        assert np.abs(corner @ (out["alignment"].numpy() - turn).T).max() < most


def test_a_transform_that_is_no_start(files, tmp_path):
    field = tmp_path / "warp.nii.gz"
    save_field(torch.zeros(3, 5, 5, 5), np.eye(4), field)
    (tmp_path / "flirt.mat").write_text("1 0 0 5\n0 1 0 6\n0 0 1 7\n0 0 0 1\n")
    cases = [
        (field, "expected a linear transform alone, got one with a displacement field"),
        (tmp_path / "flirt.mat", "expected ITK's or ANTs' matrix, got FSL's"),
        (tmp_path / "absent.tfm", "expected a file, got no such file"),
    ]
    for path, message in cases:
        with pytest.raises(InputError, match=message):
            registration_pairs(files[0]["fixed"], files[0]["moving"], initial=str(path))
    ok = initial_file(np.eye(4), tmp_path)
    (listed,) = registration_pairs(files[0]["fixed"], files[0]["moving"], initial=ok)
    assert listed["initial"] == ok  # and two images that do not overlap are accepted

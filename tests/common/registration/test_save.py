import gzip

import nibabel as nib
import numpy as np
import pytest
import torch

from common.errors import InputError, find_input_error
from common.images import save_field
from common.registration import SaveRegistrationd
from tests.common.registration.phantom import WavyNetwork, make_image
from tests.common.registration.pipeline import metrics_of, register, run

FILES = {"moved.nii.gz", "warp.nii.gz", "jacobian.nii.gz", "transform.h5", "metrics.json"}


def test_through_the_engine(tmp_path):
    fixed = make_image(tmp_path / "f.nii.gz", code="LAS", dtype=np.int16)
    moving = make_image(tmp_path / "m.nii.gz", code="PIR", spacing=(1.7, 2.3, 2.0), degrees=(5, -4, 8), deform=2.0)
    register(tmp_path / "out", WavyNetwork(), {"fixed": str(fixed), "moving": str(moving)})
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    source, moved = nib.load(fixed), nib.load(tmp_path / "out" / "moved.nii.gz")
    assert moved.shape == source.shape
    assert moved.get_data_dtype() == np.float32
    assert np.array_equal(moved.affine, source.affine)
    for key in ("sform_code", "qform_code", "pixdim", "quatern_b", "srow_x"):
        assert np.array_equal(moved.header[key], source.header[key]), key
    assert not list(tmp_path.glob(".out*"))
    metrics = metrics_of(tmp_path / "out")
    assert metrics["fixed"] == str(fixed)
    assert metrics["network"] == "wavy"
    assert metrics["identical_inputs"] is False
    assert metrics["network_grid"]["spacing_mm"] == 2.0
    assert {"load", "validate", "network_grid", "network", "fixed_grid", "measure", "write"} < set(
        metrics["stage_seconds"]
    )
    parts = sum(seconds for name, seconds in metrics["stage_seconds"].items() if name != "total")
    assert parts <= metrics["stage_seconds"]["total"] + 0.01
    assert metrics["peak_memory_mb"] > 100
    assert metrics["versions"]["torch"] == torch.__version__
    assert metrics["field"]["folds_percent"] == 0
    assert 1 < metrics["field"]["displacement_mm_max"] < 6
    assert -1 <= metrics["similarity"]["after"]["ncc"] <= 1
    assert "fixed foreground" in metrics["protocol"]["region"]


def test_many_pairs_and_workers(tmp_path):
    shapes = ((26, 29, 23), (21, 30, 25), (24, 24, 24))
    for n, shape in enumerate(shapes):
        make_image(tmp_path / f"i{n}.nii.gz", shape=shape)
    pairs = [
        {"fixed": str(tmp_path / f"i{a}.nii.gz"), "moving": str(tmp_path / f"i{b}.nii.gz")} for a, b in ((0, 1), (2, 0))
    ]
    register(tmp_path / "out", WavyNetwork(), {"datalist": pairs}, workers=1)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"i1_to_i0", "i0_to_i2"}
    for folder in (tmp_path / "out").iterdir():
        assert {path.name for path in folder.iterdir()} == FILES
        assert metrics_of(folder)["stage_seconds"]["network"] >= 0


def test_labels_and_a_true_field_are_scored(tmp_path):
    fixed, moving = (
        make_image(tmp_path / "f.nii.gz"),
        make_image(tmp_path / "m.nii.gz", code="LPI", spacing=(2, 1.5, 2)),
    )
    for path in (fixed, moving):
        image = nib.load(path)
        values = image.get_fdata()
        labels = (values > 20).astype(np.uint8) + (values > 50).astype(np.uint8)
        nib.save(nib.Nifti1Image(labels, image.affine), str(path).replace(".nii", "_seg.nii"))
    network = WavyNetwork()
    data = run({"fixed": str(fixed), "moving": str(moving)}, network)
    save_field(data["ddf"].as_tensor(), data["fixed"].affine.numpy(), tmp_path / "true.nii.gz")
    pair = {"fixed": str(fixed), "moving": str(moving), "true_field": str(tmp_path / "true.nii.gz")}
    pair |= {k: str(pair[k[:-6]]).replace(".nii", "_seg.nii") for k in ("fixed_label", "moving_label")}
    register(tmp_path / "out", network, pair)
    metrics = metrics_of(tmp_path / "out")
    assert metrics["tre_mm"]["before"]["mean"] == pytest.approx(metrics["field"]["displacement_mm_mean"], rel=1e-4)
    assert metrics["tre_mm"]["after"]["max"] < 1e-4
    assert set(metrics["dice"]["before"]["per_label"]) == {"1", "2"}
    assert 0.9 < metrics["dice"]["before"]["mean"] < 1
    assert metrics["dice"]["after"]["mean"] < metrics["dice"]["before"]["mean"]
    label = nib.load(tmp_path / "out" / "moved_label.nii.gz")
    assert label.get_data_dtype() == np.uint8
    assert set(np.unique(label.dataobj)) == {0, 1, 2}


def test_files_carry_the_one_place_that_was_used_and_no_identity(tmp_path):
    """A fixed header whose sform and qform disagree, and which says whose head it is."""
    fixed, image = tmp_path / "f.nii.gz", nib.load(make_image(tmp_path / "plain.nii.gz"))
    elsewhere = image.affine.copy()
    elsewhere[:3, 3] += 50
    image.set_qform(elsewhere, 1)
    for name in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[name] = "J. Doe"
    image.header["intent_code"], image.header["cal_max"] = 1002, 7
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"J. Doe"))
    nib.save(image, fixed)
    label = make_image(tmp_path / "l.nii.gz", dtype=np.uint8)
    pair = {
        "fixed": str(fixed),
        "moving": str(make_image(tmp_path / "m.nii.gz", deform=2.0)),
        "moving_label": str(label),
    }
    register(tmp_path / "out", WavyNetwork(), pair)
    files = sorted((tmp_path / "out").glob("*.nii.gz"))
    assert len(files) == 4
    for path in files:
        header = nib.load(path).header
        assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
        assert np.array_equal(header.get_sform(), image.get_sform())
        assert np.allclose(header.get_qform(), image.get_sform(), atol=1e-4)
        assert b"Doe" not in gzip.decompress(path.read_bytes())[:400]
        assert len(header.extensions) == 0
        assert int(header["intent_code"]) == (1007 if path.name == "warp.nii.gz" else 0)


def test_one_runs_files_are_one_set(tmp_path):
    fixed, moving = make_image(tmp_path / "f.nii"), make_image(tmp_path / "m.nii", deform=2.0)
    label = make_image(tmp_path / "l.nii", dtype=np.uint8)
    pair = {"fixed": str(fixed), "moving": str(moving)}
    register(tmp_path / "out", WavyNetwork(), {**pair, "moving_label": str(label)})
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*FILES, "moved_label.nii.gz", "notes.txt"}
    register(tmp_path / "out", WavyNetwork(), pair)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*FILES, "notes.txt"}


def test_formats_without_a_nifti_header(tmp_path):
    itk = pytest.importorskip("itk")
    fixed = make_image(tmp_path / "f.nii", code="LPI", degrees=(3, 4, 5))
    itk.imwrite(itk.imread(str(fixed), itk.F), str(tmp_path / "f.nrrd"))
    moving = make_image(tmp_path / "m.nii", deform=2.0)
    register(tmp_path / "a", WavyNetwork(), {"fixed": str(fixed), "moving": str(moving)})
    register(tmp_path / "b", WavyNetwork(), {"fixed": str(tmp_path / "f.nrrd"), "moving": str(moving)})
    one, two = (nib.load(tmp_path / name / "moved.nii.gz") for name in "ab")
    assert np.allclose(one.affine, two.affine, atol=1e-4)
    assert np.allclose(one.get_fdata(), two.get_fdata(), atol=0.05)
    assert int(two.header["sform_code"]) == 1


def test_nothing_is_written_when_a_pair_is_bad(tmp_path):
    fixed = make_image(tmp_path / "f.nii")
    make_image(tmp_path / "far.nii", shift=(500, 0, 0))
    with pytest.raises(InputError, match="expected an overlap in world space"):
        register(tmp_path / "out", WavyNetwork(), {"fixed": str(fixed), "moving": str(tmp_path / "far.nii")})
    with pytest.raises(InputError, match="output folder"):
        SaveRegistrationd(fixed / "below")
    assert not (tmp_path / "out").exists()


def test_an_input_is_never_replaced(tmp_path):
    fixed, moving = make_image(tmp_path / "f.nii"), make_image(tmp_path / "moved.nii.gz", deform=2.0)
    before = moving.read_bytes()
    with pytest.raises(RuntimeError) as caught:
        register(tmp_path, WavyNetwork(), {"fixed": str(fixed), "moving": str(moving)})
    assert "moved.nii.gz would replace an input (moving " in str(find_input_error(caught.value))
    assert moving.read_bytes() == before

import nibabel as nib
import numpy as np
import pytest
import torch

from common.errors import InputError
from common.geometry import ORIENTATIONS, carry_ddf, reorient
from common.registration import ToNetworkGridd
from common.registration.grids import grid_of
from tests.common.registration.phantom import WavyNetwork, make_image
from tests.common.registration.pipeline import metrics_of, register, run


def test_all_48_orientations_give_the_same_anatomy(tmp_path):
    network = WavyNetwork()
    make_image(tmp_path / "f.nii", shape=(25, 29, 23), degrees=(4, 7, -6))
    make_image(tmp_path / "m.nii", shape=(24, 27, 22), spacing=(2.2, 2.0, 2.4), degrees=(-5, 2, 9), deform=2.0)
    reference = run({"fixed": tmp_path / "f.nii", "moving": tmp_path / "m.nii"}, network)
    expected = reference["moved"][0].numpy()
    assert expected.std() > 10
    images = {name: nib.load(tmp_path / f"{name}.nii") for name in "fm"}
    for n, code in enumerate(ORIENTATIONS):
        other = ORIENTATIONS[(7 * n + 5) % 48]  # another orientation for the moving image; all 48 of them in turn
        for name, turn in (("f", code), ("m", other)):
            volume, affine = reorient(np.asarray(images[name].dataobj), images[name].affine, turn)
            nib.save(nib.Nifti1Image(np.ascontiguousarray(volume), affine), tmp_path / f"{name}_turned.nii")
        out = run({"fixed": tmp_path / "f_turned.nii", "moving": tmp_path / "m_turned.nii"}, network)
        assert torch.allclose(out["image"].as_tensor(), reference["image"].as_tensor(), atol=1e-4), (code, other)
        moved, _ = reorient(out["moved"][0].numpy(), out["fixed"].affine.numpy(), "RAS")
        assert np.allclose(moved, expected, atol=0.02), (code, other)


@pytest.mark.parametrize("shape", [(17, 19, 23), (31, 16, 18), (33, 35, 37)])
def test_odd_sizes(tmp_path, shape):
    make_image(tmp_path / "f.nii", shape=shape)
    make_image(tmp_path / "m.nii", shape=shape[::-1])
    out = run({"fixed": tmp_path / "f.nii", "moving": tmp_path / "m.nii"}, WavyNetwork())
    assert out["moved"].shape == (1, *shape)
    assert all(n % 8 == 0 for n in out["image"].shape[1:])


def test_a_mouse_brain_gets_a_grid_of_its_size(tmp_path, caplog):
    """The same brain in tenths of millimetres, 4 mm long: seen as finely as its voxels of 0.2 mm allow."""
    for name, deform in (("f", 0.0), ("m", 2.0)):
        image = nib.load(make_image(tmp_path / "large.nii", deform=deform))
        small = np.diag([0.1, 0.1, 0.1, 1]) @ image.affine
        nib.save(nib.Nifti1Image(np.array(image.dataobj), small), tmp_path / f"{name}.nii")
    files = {"fixed": tmp_path / "f.nii", "moving": tmp_path / "m.nii"}
    out = run(files, WavyNetwork(), spacing=1.0)
    words = "the anatomy is 4 mm long, that of a small animal: the network's grid has 0.05 mm instead of 1"
    assert words in caplog.text  # 0.024 would show it as large as the other; a quarter of a voxel is the finest
    assert 70 < int((out["image"][1] > 0.1).any(dim=2).any(dim=0).sum()) < 95
    assert run(files, WavyNetwork(), spacing=0.05)["image"].affine[0, 0].abs() == 0.05


def test_channels_and_intensities(tmp_path):
    make_image(tmp_path / "f.nii")
    make_image(tmp_path / "m.nii", deform=3.0, dtype=np.uint8)
    out = run({"fixed": tmp_path / "f.nii", "moving": tmp_path / "m.nii"}, WavyNetwork())
    image, fixed = out["image"].as_tensor(), out["fixed"].as_tensor()
    assert image.dtype == torch.float32
    assert float(image.min()) == 0.0
    assert image.amax(dim=(1, 2, 3)).tolist() == pytest.approx([1, 1], abs=0.05)
    # Same spacing and axes: the second channel holds the fixed image's own voxels.
    inside = fixed[fixed > 1] / fixed.max()
    assert torch.allclose(image[1][image[1] > 0.01], inside, atol=1e-5)


def test_outside_of_the_moving_image_is_its_background(tmp_path):
    make_image(tmp_path / "f.nii")
    image = nib.load(make_image(tmp_path / "m.nii", shape=(20, 22, 18)))
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj) - 1000, image.affine), tmp_path / "ct.nii")
    out = run({"fixed": tmp_path / "f.nii", "moving": tmp_path / "ct.nii"}, WavyNetwork())
    assert out["outside_value"] == -1000
    assert float(out["moved"][0, 0, 0, 0]) == -1000
    assert float(out["image"][0].min()) == 0.0


def test_an_alignment_is_part_of_the_total_field(tmp_path):
    make_image(tmp_path / "f.nii")
    image = nib.load(tmp_path / "f.nii")
    shifted = image.affine.copy()
    shifted[:3, 3] += (6, -8, 4)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), shifted), tmp_path / "m.nii")
    alignment = np.eye(4)
    alignment[:3, 3] = (6, -8, 4)
    data = {"fixed": tmp_path / "f.nii", "moving": tmp_path / "m.nii", "alignment": torch.from_numpy(alignment)}
    out = run(data, WavyNetwork(0.0))
    assert torch.allclose(out["moved"].as_tensor(), out["fixed"].as_tensor(), atol=1e-3)
    assert torch.allclose(out["image"][0].as_tensor(), out["image"][1].as_tensor(), atol=1e-5)
    lengths = torch.linalg.vector_norm(out["ddf"].as_tensor() * 2.0, dim=0)
    assert torch.allclose(lengths, torch.tensor(np.linalg.norm([6, -8, 4])).float(), atol=1e-3)


def test_identical_images_give_a_zero_field_and_say_so(tmp_path, caplog):
    fixed = make_image(tmp_path / "f.nii")
    copy = tmp_path / "copy.nii"
    copy.write_bytes(fixed.read_bytes())
    register(tmp_path / "out", WavyNetwork(3.0), {"fixed": str(fixed), "moving": str(copy)})
    metrics = metrics_of(tmp_path / "out")
    assert metrics["identical_inputs"] is True
    assert metrics["field"]["displacement_mm_max"] == 0
    assert metrics["network_grid"]["largest_displacement_voxel"] > 2
    assert "set to zero" in metrics["note"]
    assert "fixed and moving are the same image" in caplog.text
    moved = np.asarray(nib.load(tmp_path / "out" / "moved.nii.gz").dataobj)
    assert np.allclose(moved, np.asarray(nib.load(fixed).dataobj), atol=1e-3)


@pytest.mark.parametrize("code", ["LPI", "SAR"])
def test_the_same_image_in_another_orientation_and_type_is_identical(tmp_path, code):
    fixed = nib.load(make_image(tmp_path / "f.nii", degrees=(3, 5, 7)))
    volume, affine = reorient(np.asarray(fixed.dataobj), fixed.affine, code)
    nib.save(nib.Nifti1Image(volume.astype("f8") * 10 + 5, affine), tmp_path / "m.nii")
    out = run({"fixed": tmp_path / "f.nii", "moving": tmp_path / "m.nii"}, WavyNetwork(3.0))
    assert out["identical_inputs"] is True
    assert float(out["ddf"].abs().max()) == 0


@pytest.mark.parametrize("change", [{"shift": (0.3, 0, 0)}, {"deform": 1.0}])
def test_a_slightly_changed_image_is_not_identical(tmp_path, change):
    make_image(tmp_path / "f.nii")
    make_image(tmp_path / "m.nii", **change)
    out = run({"fixed": tmp_path / "f.nii", "moving": tmp_path / "m.nii"}, WavyNetwork(1.0))
    assert out["identical_inputs"] is False


def test_an_alignment_of_an_image_with_itself_is_left_out(tmp_path):
    make_image(tmp_path / "f.nii")
    nearly = np.eye(4)
    nearly[:3, 3] = 0.2  # what an estimate gives
    data = {"fixed": tmp_path / "f.nii", "moving": tmp_path / "f.nii", "alignment": nearly}
    out = run(data, WavyNetwork(1.0))
    assert out["identical_inputs"] is True
    assert "alignment" not in out
    assert float(out["ddf"].abs().max()) == 0


def test_a_field_of_nan_is_no_result(tmp_path):
    make_image(tmp_path / "f.nii")
    make_image(tmp_path / "m.nii", deform=2.0)
    with pytest.raises(RuntimeError, match="the network's field is not finite"):
        run({"fixed": tmp_path / "f.nii", "moving": tmp_path / "m.nii"}, WavyNetwork(float("nan")))


def test_unequal_spacing_is_refused():
    with pytest.raises(InputError, match=r"isotropic: expected one spacing in mm, got \[1.0, 1.0, 2.0\]"):
        ToNetworkGridd(spacing=[1, 1, 2])
    assert ToNetworkGridd(spacing=[2, 2, 2]).spacing == 2.0


def test_the_field_of_the_result_is_the_networks(tmp_path):
    make_image(tmp_path / "f.nii", code="SLA")
    make_image(tmp_path / "m.nii", deform=2.0)
    out = run({"fixed": tmp_path / "f.nii", "moving": tmp_path / "m.nii"}, WavyNetwork())
    expected = carry_ddf(out["pred"], out["image"].affine.numpy(), grid_of(out["fixed"]))
    assert torch.equal(out["ddf"].as_tensor(), expected)


def test_the_kit_needs_no_interpolation(shared_dir):
    """2 mm images onto a 2 mm grid: the network sees the voxels of the file, and all of the brain."""
    images = shared_dir / "data" / "2mm" / "images"
    if not images.exists():
        pytest.skip("the data kit is not beside this checkout")
    data = {key: str(images / f"{name}_t1_2mm.nii.gz") for key, name in (("fixed", "ss16"), ("moving", "ss15"))}
    out = run(data, WavyNetwork(), multiple=16)
    for channel, key in ((1, "fixed"), (0, "moving")):
        seen = np.rint(out["image"][channel].numpy() * float(out[key].max()))
        file = out[key].numpy()
        if key == "fixed":
            assert np.array_equal(np.bincount(seen[seen > 2].astype(int)), np.bincount(file[file > 2].astype(int)))
        assert seen.sum() == pytest.approx(file.sum(), rel=1e-3)

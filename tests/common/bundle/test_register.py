"""``register``: images of every library in memory, the result in memory, and nothing left on disk."""

import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.bundle import Bundle, register
from common.errors import InputError
from common.geometry.transforms import Affine
from common.registration.transform_files import write_transform
from tests.bundles.conftest import pair as pair
from tests.common.bundle.test_run import write_bundle

SimpleITK = pytest.importorskip("SimpleITK")


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle", 1)


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A folder of its own for temporary files, empty again after every test, whatever happened."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert [path.name for path in folder.iterdir() if path.name.startswith("register-")] == []


def meta_tensor(path):
    image = nib.load(path)
    voxels = torch.from_numpy(np.asarray(image.dataobj, dtype=np.float32))
    return MetaTensor(voxels[None], affine=torch.from_numpy(image.affine))


def itk_image(path):
    itk = pytest.importorskip("itk")
    return itk.imread(str(path), itk.F)


READERS = {
    "nibabel": nib.load,
    "MetaTensor": meta_tensor,
    "SimpleITK": lambda path: SimpleITK.ReadImage(str(path)),
    "ITK": itk_image,
    "text": str,
}


@pytest.fixture
def written(bundle, pair, tmp_path):
    """What ``Bundle.register`` writes for the same pair."""
    Bundle(bundle).register({"fixed": pair[0], "moving": pair[1]}, tmp_path / "out", field_spacing=0)
    return nib.load(tmp_path / "out" / "moved.nii.gz")


@pytest.mark.parametrize("library", READERS)
def test_images_of_every_library_give_what_files_give(library, pair, bundle, written):
    read = READERS[library]
    result = register(read(pair[0]), read(pair[1]), bundle=bundle)
    assert np.allclose(result.moved.affine, written.affine, atol=1e-4)
    assert np.abs(np.asarray(result.moved.dataobj) - np.asarray(written.dataobj)).max() < 1e-3  # of 1
    assert result.metrics["fixed"] == (str(pair[0]) if library == "text" else "fixed image in memory")
    assert (result.moved_label, result.inverse) == (None, None)


def test_labels_points_inverse_and_further_images(pair, bundle):
    fixed, moving = (nib.load(path) for path in pair)
    voxels = np.asarray(moving.dataobj)
    label = nib.Nifti1Image((voxels > voxels.max() / 2).astype(np.uint8), moving.affine)
    result = register(fixed, moving, bundle=bundle, moving_label=label, inverse=True, refine="fast")
    assert set(np.unique(np.asarray(result.moved_label.dataobj))) == {0, 1}
    again = result.apply(moving)
    assert np.abs(np.asarray(again.dataobj) - np.asarray(result.moved.dataobj)).max() < 1e-3
    assert np.array_equal(
        np.asarray(result.apply(label, "nearest").dataobj), np.asarray(result.moved_label.dataobj).astype(np.uint8)
    )
    middle = np.array([[0.0, 30, 35], [5, 25, 40]])
    there = result.points_to_moving(middle)
    assert np.abs(result.points_to_fixed(there) - middle).max() < 0.01
    assert (result.transform.source, result.transform.target) == ("fixed", "moving")
    assert (result.inverse.source, result.inverse.target) == ("moving", "fixed")
    assert result.metrics["transforms"]["inverse_residual"]["max_mm"] < 1


def test_points_in_memory_and_their_distance(pair):
    fixed = np.array([[0.0, 30, 35], [5, 25, 40]])
    shift = np.eye(4)
    shift[:3, 3] = (1.5, -2, 1)
    options = {"bundle": "none", "align": "none", "refine": "off", "initial": shift}
    result = register(*pair, points=fixed + shift[:3, 3] + np.array([0, 0, 1]), fixed_points=fixed, **options)
    assert np.allclose(result.moved_points, fixed + np.array([0, 0, 1]), atol=1e-5)
    assert result.metrics["points_mm"]["before"]["mean"] == pytest.approx(np.linalg.norm([1.5, -2, 2]))
    assert result.metrics["points_mm"]["after"]["max"] == pytest.approx(1)
    with pytest.raises(InputError, match=r"moving_points: expected a file or an array \(N, 3\) .*, got \(3,\)"):
        register(*pair, points=[1, 2, 3], **options)


def test_without_a_network_and_from_an_initial_transform(pair, tmp_path):
    shift = np.eye(4)
    shift[:3, 3] = (1.5, -2, 1)
    moved = [
        np.asarray(register(*pair, bundle="none", align="none", refine="off", initial=given).moved.dataobj)
        for given in (shift, Affine(shift), _file(shift, tmp_path))
    ]
    assert np.array_equal(moved[0], moved[1]) and np.allclose(moved[0], moved[2], atol=1e-3)
    fixed = np.asarray(nib.load(pair[0]).dataobj)
    assert np.corrcoef(moved[0].ravel(), fixed.ravel())[0, 1] > 0.999  # the same ball, shifted by just that


def _file(matrix: np.ndarray, folder: Path) -> Path:
    write_transform(Affine(matrix), folder / "initial.tfm")
    return folder / "initial.tfm"


def test_slanted_axes_that_no_composite_holds(pair):
    image = nib.load(pair[0])
    slanted = image.affine.copy()
    slanted[:3, 0] += 0.05 * slanted[:3, 1]
    fixed = nib.Nifti1Image(np.asarray(image.dataobj), slanted)
    result = register(fixed, pair[1], bundle="none", align="none", refine="off")
    assert np.allclose(result.moved.affine, slanted, atol=1e-4)
    assert result.points_to_moving([[1.0, 2, 3]]).tolist() == [[1.0, 2, 3]]


def test_refinement_without_a_network_is_better_than_the_alignment(pair):
    plain, refined = (register(*pair, bundle="none", align="none", refine=preset) for preset in ("off", "fast"))
    assert refined.metrics["network"] == "no network" and refined.metrics["weights"] is None
    assert refined.metrics["similarity"]["after"]["ncc"] > plain.metrics["similarity"]["after"]["ncc"] + 0.01
    assert plain.metrics["field"]["displacement_mm_max"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fixed": 7}, r"fixed image: expected a path, or a 3-D image of nibabel, .* got builtins.int"),
        ({"moving": "absent.nii.gz"}, r"moving image .*absent.nii.gz: expected an image file, got no such file"),
        ({"output_dir": "x"}, "register: output_dir is for files: expected Bundle.register for it, got it here"),
        ({"pases": [1]}, r"unknown option --pases \(did you mean --passes\?\)"),
        ({"initial": "absent.mat"}, "transform .*absent.mat: expected a file, got no such file"),
        ({"bundle": "mambamorf"}, "mambamorf"),
    ],
)
def test_mistakes_are_input_errors_and_leave_nothing(arguments, message, pair, bundle):
    given = {"fixed": pair[0], "moving": pair[1], "bundle": bundle} | arguments
    with pytest.raises(InputError, match=message):
        register(given.pop("fixed"), given.pop("moving"), **given)

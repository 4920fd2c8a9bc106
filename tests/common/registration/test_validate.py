import nibabel as nib
import numpy as np
import pytest

from common.errors import InputError
from common.registration import LoadPaird, ValidatePaird
from tests.common.registration.phantom import make_image


def validated(fixed, moving, **labels):
    return ValidatePaird()(LoadPaird()({"fixed": str(fixed), "moving": str(moving), **labels}))


def changed(path, change) -> str:
    """Rewrite an image with ``change(values)``, in place."""
    image = nib.load(path)
    values = np.array(image.dataobj)
    change(values)
    nib.save(nib.Nifti1Image(values, image.affine), path)
    return str(path)


def set_voxels(value):
    def change(values):
        values[3:5, 4, 4] = value

    return change


def constant(values):
    values[:] = 7


@pytest.mark.parametrize("role", ["fixed", "moving"])
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (set_voxels(np.nan), "expected finite voxels, got 2 that are NaN or infinite inside of the anatomy: fill them"),
        (set_voxels(np.inf), "expected finite voxels, got 2 that are NaN or infinite inside of the anatomy: fill them"),
        (constant, r"expected an image that shows something, got a constant one \(every voxel 7\)"),
    ],
)
def test_bad_voxels(tmp_path, role, change, text):
    paths = {name: make_image(tmp_path / f"{name}.nii") for name in ("fixed", "moving")}
    changed(paths[role], change)
    with pytest.raises(InputError, match=text) as caught:
        validated(**paths)
    assert str(caught.value).startswith(f"{role} image {paths[role]}")


def test_boxes_that_overlap_and_anatomies_that_do_not(tmp_path):
    """A slab with a speck behind the other slab: the boxes overlap, no voxel does."""
    for name, slab in (("f", np.s_[2:6, 4:20, 4:20]), ("m", np.s_[10:16, 4:20, 4:20])):
        values = np.zeros((24, 24, 24), "f4")
        values[slab] = 50
        values[20:22, 18:20, 18:20] = 60 if name == "f" else 0
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / f"{name}.nii")
    with pytest.raises(InputError, match=r"expected some anatomy in common with fixed image .*, got no voxel"):
        validated(tmp_path / "f.nii", tmp_path / "m.nii")


def test_one_hot_voxel_hides_no_anatomy(tmp_path):
    paths = {name: make_image(tmp_path / f"{name}.nii", deform=d) for name, d in (("fixed", 0), ("moving", 1))}
    changed(paths["moving"], lambda values: values.__setitem__((13, 14, 11), 60000))
    validated(**paths)


def test_no_overlap_of_what_is_shown(tmp_path):
    """The fields of view touch, the brains do not."""
    fixed = make_image(tmp_path / "f.nii")
    moving = make_image(tmp_path / "m.nii", shift=(44, 0, 0))
    affine = nib.load(moving).affine
    affine[0, 3] += 44
    nib.save(nib.Nifti1Image(np.asarray(nib.load(fixed).dataobj), affine), moving)
    with pytest.raises(InputError, match="expected an overlap in world space with fixed image") as caught:
        validated(fixed, moving)
    assert "foreground R" in str(caught.value)
    ValidatePaird(require_overlap=False)(LoadPaird()({"fixed": str(fixed), "moving": str(moving)}))


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (np.full((26, 29, 23), np.nan, "f4"), "expected whole numbers, got values that are not finite"),
        (np.full((26, 29, 23), 0.5, "f4"), "expected whole numbers, got fractions"),
        (np.full((26, 29, 23), 2**24, "i4"), "expected labels below 2\\^24 .* got 16777216"),
    ],
)
def test_bad_labels(tmp_path, label, text):
    fixed, moving = make_image(tmp_path / "f.nii"), make_image(tmp_path / "m.nii", deform=1.0)
    nib.save(nib.Nifti1Image(label, nib.load(moving).affine), tmp_path / "l.nii")
    with pytest.raises(InputError, match=text) as caught:
        validated(fixed, moving, moving_label=str(tmp_path / "l.nii"))
    assert "moving_label" in str(caught.value)
    assert "l.nii" in str(caught.value)

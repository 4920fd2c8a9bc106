"""ITK and ANTs apply the written field and give the image that we wrote."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.common.registration.phantom import WavyNetwork, make_image
from tests.common.registration.pipeline import register

#: Name, arguments of ``make_image`` for the fixed and for the moving image.
PAIRS = [
    ("LAS", {"code": "LAS"}, {"code": "LAS"}),
    ("RAS", {"code": "RAS"}, {"code": "RAS"}),
    ("LPI", {"code": "LPI"}, {"code": "LPI"}),
    ("oblique", {"degrees": (12, -9, 20)}, {"degrees": (-7, 15, -4), "code": "LAS"}),
    ("anisotropic", {"spacing": (1.6, 2.4, 2.0), "code": "PIR"}, {"spacing": (2.2, 1.5, 3.0), "code": "RAS"}),
    ("shifted origin", {"shift": (6, -4, 3), "shape": (30, 28, 27)}, {"shift": (-5, 5, -6), "shape": (27, 31, 29)}),
    ("everything", {"code": "SLP", "degrees": (9, 14, -11), "spacing": (1.9, 2.1, 1.4), "shape": (27, 26, 33)},
     {"code": "AIL", "degrees": (-10, 6, 17), "spacing": (2.5, 1.7, 2.0), "shift": (3, 2, -2)}),
]  # fmt: skip


@pytest.fixture(scope="module", params=PAIRS, ids=[name for name, _, _ in PAIRS])
def registered(request, tmp_path_factory) -> Path:
    """A folder with fixed.nii.gz, moving.nii.gz and the results of registering them."""
    folder = tmp_path_factory.mktemp("pair")
    _, fixed, moving = request.param
    pair = {
        "fixed": str(make_image(folder / "fixed.nii.gz", **fixed)),
        "moving": str(make_image(folder / "moving.nii.gz", deform=1.5, **moving)),
    }
    register(folder / "out", WavyNetwork(), pair)
    return folder


def values(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj, dtype=np.float64)


def interior(folder: Path) -> np.ndarray:
    """Fixed voxels whose position, by the file alone, is at least a voxel inside of the moving image."""
    field, moving = nib.load(folder / "out" / "warp.nii.gz"), nib.load(folder / "moving.nii.gz")
    vectors = np.asarray(field.dataobj, dtype=np.float64)[:, :, :, 0] * [-1, -1, 1]
    index = np.stack(np.meshgrid(*[np.arange(n) for n in field.shape[:3]], indexing="ij"), axis=-1)
    world = index @ field.affine[:3, :3].T + field.affine[:3, 3] + vectors
    back = np.linalg.inv(moving.affine)
    there = world @ back[:3, :3].T + back[:3, 3]
    return ((there >= 1) & (there <= np.array(moving.shape) - 2)).all(axis=-1)


def compare(ours: np.ndarray, theirs: np.ndarray, inside: np.ndarray) -> None:
    assert inside.mean() > 0.3
    assert ours[inside].std() > 10
    assert np.abs(ours - theirs)[inside].max() < 0.02  # of about 100: float32 positions at the ellipsoid's sharp edge


def test_layout_of_the_field(registered):
    field, fixed = nib.load(registered / "out" / "warp.nii.gz"), nib.load(registered / "fixed.nii.gz")
    assert field.shape == (*fixed.shape, 1, 3)
    assert field.get_data_dtype() == np.float32
    assert int(field.header["intent_code"]) == 1007
    assert field.header.get_xyzt_units()[0] == "mm"
    assert np.allclose(field.affine, fixed.affine, atol=1e-4)
    assert np.allclose(field.get_qform(), field.get_sform(), atol=1e-4)


def test_itk_warps_to_the_same_image(registered):
    itk = pytest.importorskip("itk")
    scalar, vector = itk.Image[itk.F, 3], itk.Image[itk.Vector[itk.F, 3], 3]
    moving = itk.imread(str(registered / "moving.nii.gz"), itk.F)
    reader = itk.ImageFileReader[vector].New(FileName=str(registered / "out" / "warp.nii.gz"))
    reader.Update()
    field = reader.GetOutput()
    warp = itk.WarpImageFilter[scalar, scalar, vector].New(Input=moving, DisplacementField=field)
    warp.SetOutputParametersFromImage(field)
    warp.Update()
    theirs = itk.array_from_image(warp.GetOutput()).transpose(2, 1, 0)
    compare(values(registered / "out" / "moved.nii.gz"), theirs, interior(registered))


def test_ants_warps_to_the_same_image(registered):
    ants = pytest.importorskip("ants")
    fixed, moving = (ants.image_read(str(registered / f"{name}.nii.gz")) for name in ("fixed", "moving"))
    field = str(registered / "out" / "warp.nii.gz")
    theirs = ants.apply_transforms(fixed=fixed, moving=moving, transformlist=[field], interpolator="linear").numpy()
    compare(values(registered / "out" / "moved.nii.gz"), theirs, interior(registered))


def test_ants_measures_the_same_jacobian(registered):
    ants = pytest.importorskip("ants")
    fixed = ants.image_read(str(registered / "fixed.nii.gz"))
    theirs = ants.create_jacobian_determinant_image(fixed, str(registered / "out" / "warp.nii.gz")).numpy()
    ours = values(registered / "out" / "jacobian.nii.gz")
    inside = (slice(2, -2),) * 3
    assert ours[inside].std() > 0.02
    # ANTs takes wider differences than ours (five points instead of three).
    assert np.corrcoef(ours[inside].ravel(), theirs[inside].ravel())[0, 1] > 0.99
    assert np.abs(ours - theirs)[inside].max() < 0.1

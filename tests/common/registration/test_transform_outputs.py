"""The files of a pair's transform: other programs get the same image from them, and the way back closes as it says."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from common.errors import InputError
from common.geometry.affines import transform_points
from common.geometry.transforms import Affine, apply_to_points, parts_of
from common.registration import SaveRegistrationd
from common.registration.outputs import OUTPUTS, outputs_of
from common.registration.transform_files import read_transform
from common.registration.transform_outputs import field_spacing_of
from tests.common.registration.phantom import WavyNetwork, make_image
from tests.common.registration.pipeline import metrics_of, run

SimpleITK = pytest.importorskip("SimpleITK")

PLAIN = {"moved.nii.gz", "warp.nii.gz", "jacobian.nii.gz", "metrics.json"}
PAIRS = [
    ("RAS", {}, {}),
    ("oblique", {"degrees": (12, -9, 20)}, {"degrees": (-7, 15, -4), "code": "LAS"}),
    ("everything", {"code": "SLP", "degrees": (9, 14, -11), "spacing": (1.9, 2.1, 1.4), "shape": (27, 26, 33)},
     {"code": "AIL", "degrees": (-10, 6, 17), "spacing": (2.5, 1.7, 2.0), "shift": (3, 2, -2)}),
]  # fmt: skip
#: From the fixed image's world to the moving image's.
ALIGNMENT = np.array([[0.97, -0.17, 0, 4], [0.17, 0.97, 0, -2], [0, 0, 1.08, 3], [0, 0, 0, 1.0]])


def save(folder: Path, fixed: dict, moving: dict, alignment: np.ndarray | None = ALIGNMENT, **options) -> dict:
    """Register a pair with a given alignment and write it to ``folder / "out"``."""
    paths = {
        "fixed": make_image(folder / "fixed.nii.gz", **fixed),
        "moving": make_image(folder / "moving.nii.gz", deform=1.5, **moving),
    }
    given = {} if alignment is None else {"alignment": torch.from_numpy(alignment)}
    return SaveRegistrationd(folder / "out", **options)(run({**paths, **given}, WavyNetwork(1.0)))


def values(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj, dtype=np.float64)


def fixed_points(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels that show the brain, and where they are."""
    image = nib.load(folder / "fixed.nii.gz")
    index = np.argwhere(np.asarray(image.dataobj) > 0)
    return index, transform_points(image.affine, index)


@pytest.fixture(scope="module", params=PAIRS, ids=[name for name, _, _ in PAIRS])
def saved(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    save(folder, *request.param[1:], outputs="all", field_spacing=0)
    return folder


def same_image(theirs: np.ndarray, folder: Path) -> None:
    index, points = fixed_points(folder)
    ours, moving = values(folder / "out" / "moved.nii.gz"), nib.load(folder / "moving.nii.gz")
    there = transform_points(np.linalg.inv(moving.affine), apply_to_points(chain(folder), points))
    i, j, k = index[((there >= 1) & (there <= np.array(moving.shape) - 2)).all(axis=1)].T
    assert len(i) > 2000 and ours[i, j, k].std() > 10
    difference = np.abs(ours - theirs)[i, j, k]
    # Float32 positions at the ellipsoid's sharp edge; the values go to 100.
    assert np.percentile(difference, 99) < 0.02 and difference.max() < 0.5


def chain(folder: Path):
    return read_transform(folder / "out" / "transform.h5")


def test_simple_itk_pulls_the_same_image_through_the_composite(saved: Path):
    fixed, moving = (
        SimpleITK.ReadImage(str(saved / f"{n}.nii.gz"), SimpleITK.sitkFloat32) for n in ("fixed", "moving")
    )
    transform = SimpleITK.ReadTransform(str(saved / "out" / "transform.h5"))
    moved = SimpleITK.GetArrayFromImage(SimpleITK.Resample(moving, fixed, transform, SimpleITK.sitkLinear))
    same_image(moved.transpose(2, 1, 0), saved)


@pytest.mark.parametrize("files", [["transform.h5"], ["warp.nii.gz"]], ids=str)
def test_ants_pulls_the_same_image(saved: Path, files: list[str]):
    ants = pytest.importorskip("ants")
    fixed, moving = (ants.image_read(str(saved / f"{n}.nii.gz")) for n in ("fixed", "moving"))
    paths = [str(saved / "out" / name) for name in files]
    same_image(ants.apply_transforms(fixed, moving, paths, interpolator="linear").numpy(), saved)


def test_itk_pulls_the_inverse_warp_as_simple_itk_the_inverse(saved: Path):
    itk = pytest.importorskip("itk")
    scalar, vector = itk.Image[itk.F, 3], itk.Image[itk.Vector[itk.F, 3], 3]
    reader = itk.ImageFileReader[vector].New(FileName=str(saved / "out" / "inverse_warp.nii.gz"))
    reader.Update()
    fixed = itk.imread(str(saved / "fixed.nii.gz"), itk.F)
    warp = itk.WarpImageFilter[scalar, scalar, vector].New(Input=fixed, DisplacementField=reader.GetOutput())
    warp.SetOutputParametersFromImage(reader.GetOutput())
    warp.Update()
    by_field = itk.array_from_image(warp.GetOutput()).transpose(2, 1, 0)
    images = [SimpleITK.ReadImage(str(saved / f"{n}.nii.gz"), SimpleITK.sitkFloat32) for n in ("fixed", "moving")]
    transform = SimpleITK.ReadTransform(str(saved / "out" / "inverse.h5"))
    by_chain = SimpleITK.GetArrayFromImage(SimpleITK.Resample(*images, transform, SimpleITK.sitkLinear))
    assert by_field.std() > 10
    assert np.percentile(np.abs(by_field - by_chain.transpose(2, 1, 0)), 98) < 0.02


def test_there_and_back_closes_within_what_is_reported(saved: Path):
    _, points = fixed_points(saved)
    residual = metrics_of(saved / "out")["transforms"]["inverse_residual"]
    back = read_transform(saved / "out" / "inverse.h5", "moving", "fixed")
    distance = np.linalg.norm(apply_to_points(back, apply_to_points(chain(saved), points)) - points, axis=1)
    assert distance.max() <= residual["max_mm"] + 1e-3
    assert distance.mean() < 0.05


@pytest.mark.parametrize(
    ("name", "source", "target"), [("disp", "moving", "fixed"), ("inverse_disp", "fixed", "moving")]
)
def test_learn2reg_reads_its_field(saved: Path, name: str, source: str, target: str):
    """As its evaluation does: ``map_coordinates(moving, identity + disp)``."""
    image, grid = nib.load(saved / f"{source}.nii.gz"), nib.load(saved / f"{target}.nii.gz")
    disp = values(saved / "out" / OUTPUTS[name])
    assert disp.shape == (*grid.shape, 3)
    where = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij") + disp.transpose(3, 0, 1, 2)
    theirs = map_coordinates(np.asarray(image.dataobj, dtype=np.float64), where, order=1)
    if name == "disp":
        same_image(theirs, saved)
    else:
        transform = read_transform(saved / "out" / "inverse.h5")
        index = np.argwhere(values(saved / "moving.nii.gz") > 0)
        expected = apply_to_points(transform, transform_points(grid.affine, index))
        i, j, k = index.T
        assert np.abs(transform_points(image.affine, where[:, i, j, k].T) - expected).max() < 0.01


def test_the_affine_is_the_alignment(saved: Path):
    affine = read_transform(saved / "out" / "affine.mat")
    assert isinstance(affine, Affine) and np.allclose(affine.matrix, ALIGNMENT, atol=1e-6)
    assert np.allclose(parts_of(chain(saved))[1].matrix, ALIGNMENT, atol=1e-6)


def test_a_thin_field_says_what_it_misses(tmp_path: Path):
    save(tmp_path, {"spacing": (2.0, 1.5, 2.5)}, {})
    figures = metrics_of(tmp_path / "out")["transforms"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*PLAIN, "affine.mat", "transform.h5"}
    assert np.allclose(figures["field_spacing_mm"], (3.0, 3.0, 3.0)) and "inverse_residual" not in figures
    _, points = fixed_points(tmp_path)
    whole, thin = (read_transform(tmp_path / "out" / name) for name in ("warp.nii.gz", "transform.h5"))
    miss = apply_to_points(thin, points) - apply_to_points(whole, points)
    miss = np.linalg.norm(miss @ np.linalg.inv(ALIGNMENT[:3, :3]).T, axis=1)  # where the field ends, before the affine
    assert miss.max() == pytest.approx(figures["field_error"]["max_mm"], abs=2e-3)
    assert miss.mean() == pytest.approx(figures["field_error"]["mean_mm"], abs=2e-3)
    assert 0.001 < miss.mean() < 0.1
    assert (tmp_path / "out" / "transform.h5").stat().st_size < 24 * np.prod(whole.grid.shape) / 2


def test_no_alignment_and_no_further_files(tmp_path: Path):
    save(tmp_path, {}, {}, alignment=None, outputs="none")
    assert {path.name for path in (tmp_path / "out").iterdir()} == PLAIN
    assert "transforms" not in metrics_of(tmp_path / "out")


def test_axes_that_itk_cannot_hold_cost_one_file_and_a_word(tmp_path: Path, caplog):
    data = run({"fixed": make_image(tmp_path / "f.nii"), "moving": make_image(tmp_path / "m.nii")}, WavyNetwork())
    data["fixed"].affine[:3, 0] += 0.1 * data["fixed"].affine[:3, 1]
    SaveRegistrationd(tmp_path / "out")(data)
    assert {path.name for path in (tmp_path / "out").iterdir()} == PLAIN
    assert "transform.h5 is not written: the fixed image's axes are not orthogonal" in caplog.text


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["transform"], ("transform",)),
        ("[disp, 'inverse']", ("inverse", "disp")),
        ("all", tuple(OUTPUTS)),
        ([], ()),
        ("", ()),
    ],
)
def test_outputs_as_people_write_them(given, names):
    assert outputs_of(given) == names


def test_what_is_no_output_and_no_spacing():
    with pytest.raises(
        InputError, match=r"outputs: expected some of transform.* got 'invers' \(did you mean inverse\?\)"
    ):
        outputs_of("transform,invers")
    for value in ("thin", -1, None, float("inf")):
        with pytest.raises(InputError, match=r"field_spacing: expected auto, 0 .* or millimetres, got"):
            field_spacing_of(value)

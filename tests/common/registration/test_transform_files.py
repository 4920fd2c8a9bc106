"""Files of other programs: round trips, what SimpleITK and ANTs make of ours, and what is wrong with bad ones."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import InputError
from common.geometry import Grid, resample
from common.geometry.affines import transform_points
from common.geometry.transforms import (
    Affine,
    DisplacementField,
    apply_to_points,
    compose,
    parts_of,
    ras_lps_points,
    to_field,
)
from common.images import read_volume
from common.registration.transform_files import SUFFIXES, read_transform, write_transform
from tests.common.geometry.test_transforms import GRID, affine, field, voxels_inside
from tests.common.registration.phantom import make_image

SimpleITK = pytest.importorskip("SimpleITK")

AFFINE, FIELD = Affine(affine(1)), field()
CHAIN = compose(field(0, "fixed", "aligned"), Affine(affine(1), "aligned", "moving"))
POINTS = transform_points(GRID.affine, voxels_inside())
CASES = [
    (AFFINE, ".mat"), (AFFINE, ".tfm"), (AFFINE, ".txt"), (AFFINE, ".h5"),
    (FIELD, ".h5"), (FIELD, ".hdf5"), (FIELD, ".nii"), (FIELD, ".nii.gz"), (CHAIN, ".h5"),
]  # fmt: skip
NAMES = [f"{type(transform).__name__}{suffix}" for transform, suffix in CASES]


def points_of(transform, points: np.ndarray = POINTS) -> np.ndarray:
    """RAS points moved by a foreign transform that works in LPS."""
    move = transform.TransformPoint if hasattr(transform, "TransformPoint") else transform.apply_to_point
    return ras_lps_points([move(tuple(point)) for point in ras_lps_points(points).tolist()])


@pytest.mark.parametrize(("transform", "suffix"), CASES, ids=NAMES)
def test_round_trip(transform, suffix: str, tmp_path: Path):
    write_transform(transform, tmp_path / f"t{suffix}")
    again = read_transform(tmp_path / f"t{suffix}", "here", "there")
    assert (again.source, again.target) == ("here", "there")
    assert [type(part) for part in parts_of(again)] == [type(part) for part in parts_of(transform)]
    assert np.abs(apply_to_points(again, POINTS) - apply_to_points(transform, POINTS)).max() < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == [f"t{suffix}"]


@pytest.mark.parametrize(
    ("transform", "suffix"),
    [case for case in CASES if case[1] in (".mat", ".tfm", ".h5")],
    ids=[name for name in NAMES if name.endswith((".mat", ".tfm", ".h5"))],
)
@pytest.mark.parametrize("program", ["SimpleITK", "ants"])
def test_others_move_points_to_the_same_places(transform, suffix: str, program: str, tmp_path: Path):
    write_transform(transform, tmp_path / f"t{suffix}")
    read = SimpleITK.ReadTransform if program == "SimpleITK" else pytest.importorskip("ants").read_transform
    theirs = points_of(read(str(tmp_path / f"t{suffix}")))
    assert np.abs(theirs - apply_to_points(transform, POINTS)).max() < 0.01  # ANTs reads as float32


def test_ants_pulls_an_image_through_our_chain_to_the_same_values(tmp_path: Path):
    ants = pytest.importorskip("ants")

    fixed, moving = make_image(tmp_path / "fixed.nii.gz"), make_image(tmp_path / "moving.nii.gz", degrees=(9, 0, 20))
    grid = read_volume(fixed, "fixed").grid
    turn = np.eye(4)
    turn[:3, 3] = (4, -3, 2)
    warp = DisplacementField(GRID, field().ddf, "fixed", "aligned")
    chain = compose(warp, Affine(turn, "aligned", "moving"))
    write_transform(chain, tmp_path / "t.h5")
    theirs = ants.apply_transforms(
        ants.image_read(str(fixed)), ants.image_read(str(moving)), [str(tmp_path / "t.h5")], interpolator="linear"
    ).numpy()
    image = read_volume(moving, "moving")
    voxels = torch.from_numpy(np.asarray(image.voxels, dtype=np.float32))[None]
    ours = resample(voxels, image.affine, grid, ddf=to_field(chain, grid).ddf)[0].numpy()
    inside = np.zeros(grid.shape, dtype=bool)
    inside[6:-6, 6:-6, 6:-6] = True
    assert ours[inside].std() > 10
    assert np.percentile(np.abs(ours - theirs)[inside], 99) < 0.02


@pytest.mark.parametrize("name", ["VersorRigid3DTransform", "Euler3DTransform", "Similarity3DTransform"])
def test_linear_transforms_of_every_kind_are_read(name: str, tmp_path: Path):
    transform = getattr(SimpleITK, name)()
    transform.SetCenter((10.0, -20.0, 30.0))
    transform.SetTranslation((1.0, 2.0, 3.0))
    transform.SetParameters([0.1, -0.2, 0.05, *transform.GetParameters()[3:]])
    SimpleITK.WriteTransform(transform, str(tmp_path / "t.tfm"))
    assert np.allclose(apply_to_points(read_transform(tmp_path / "t.tfm"), POINTS), points_of(transform))


def test_a_matrix_of_ants_is_read(tmp_path: Path):
    ants = pytest.importorskip("ants")
    transform = ants.create_ants_transform(
        dimension=3, matrix=affine(2)[:3, :3], offset=(3, -4, 5), center=(10, 20, -5), precision="double"
    )
    ants.write_transform(transform, str(tmp_path / "0GenericAffine.mat"))
    ours = apply_to_points(read_transform(tmp_path / "0GenericAffine.mat"), POINTS)
    assert np.abs(ours - points_of(transform)).max() < 1e-3


def test_a_stack_is_read_in_the_order_of_points(tmp_path: Path):
    parts = [SimpleITK.AffineTransform(3) for _ in range(3)]
    for seed, part in enumerate(parts):
        part.SetMatrix(affine(seed)[:3, :3].ravel().tolist())
        part.SetTranslation(affine(seed)[:3, 3].tolist())
    stack = SimpleITK.CompositeTransform(parts)
    SimpleITK.WriteTransform(stack, str(tmp_path / "t.h5"))
    one = read_transform(tmp_path / "t.h5")
    assert isinstance(one, Affine)
    assert np.allclose(apply_to_points(one, POINTS), points_of(stack))


def test_text_that_people_write(tmp_path: Path):
    (tmp_path / "t.txt").write_text("# by hand\n1 0 0 5\n0 1 0 6\n0 0 1 7\n0 0 0 1\n")
    assert apply_to_points(read_transform(tmp_path / "t.txt"), [[0.0, 0, 0]]).tolist() == [[5.0, 6.0, 7.0]]


def test_insight_text_under_the_name_txt(tmp_path: Path):
    SimpleITK.WriteTransform(SimpleITK.TranslationTransform(3, (1.0, 2.0, 3.0)), str(tmp_path / "t.txt"))
    assert apply_to_points(read_transform(tmp_path / "t.txt"), [[0.0, 0, 0]]).tolist() == [[-1.0, -2.0, 3.0]]


def _written(transform, suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t{suffix}"
        SimpleITK.WriteTransform(transform, str(path))
        return path.read_bytes()


BAD = [
    ("t.mat", b"", "expected an ITK transform"),
    ("t.mat", b"\x00" * 300, "expected an ITK transform"),
    ("t.mat", _written(SimpleITK.AffineTransform(3), ".mat")[:60], "expected an ITK transform"),
    ("t.tfm", b"hello\n", "expected an ITK transform"),
    ("t.tfm", b"#Insight Transform File V1.0\nTransform: X_double_3_3\nParameters: 1\n", "expected an ITK transform"),
    ("t.tfm", b"\xff\xfe\x00", "expected an ITK transform"),
    ("t.tfm", _written(SimpleITK.BSplineTransform(3), ".tfm"), "expected affines and displacement fields, got a B"),
    ("t.tfm", _written(SimpleITK.AffineTransform(2), ".tfm"), "expected one of 3-D points, got 2-D"),
    ("t.tfm", _written(SimpleITK.ScaleTransform(3, (0.0, 1.0, 1.0)), ".tfm"), "expected a matrix with an inverse"),
    ("t.txt", b"1 0 0\n0 1 0\n0 0 1\n", r"expected four rows of four numbers, got \(3, 3\)"),
    ("t.txt", b"1 0 0 x\n", "expected four rows of four numbers"),
    ("t.txt", b"1 0 0 nan\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "expected a finite 4x4 matrix"),
    ("t.h5", b"hello", "expected an HDF5 file"),
    ("t.h5", _written(SimpleITK.AffineTransform(3), ".h5")[:4000], r"expected \d+ bytes, got 4000"),
    ("t.nii.gz", b"hello", "expected a NIfTI file"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "text"), BAD, ids=[f"{n}-{name}" for n, (name, _, _) in enumerate(BAD)])
def test_bad_files_end_in_one_line_that_names_them(name: str, content: bytes, text: str, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=text) as caught:
        read_transform(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_missing_files_and_unknown_suffixes(tmp_path: Path):
    with pytest.raises(InputError, match="expected a file, got no such file"):
        read_transform(tmp_path / "none.mat")
    with pytest.raises(InputError, match=r"expected one of \.h5.* got 't.lta'"):
        read_transform(tmp_path / "t.lta")


@pytest.mark.parametrize("transform", [FIELD, CHAIN], ids=["field", "chain"])
@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix not in (".h5", ".hdf5")])
def test_files_that_cannot_hold_it(transform, suffix: str, tmp_path: Path):
    if transform is FIELD and suffix.startswith(".nii"):
        return
    with pytest.raises(InputError, match="expected a file that can hold a"):
        write_transform(transform, tmp_path / f"t{suffix}")
    assert not list(tmp_path.iterdir())


def test_sheared_grids_do_not_fit_itk(tmp_path: Path):
    sheared = GRID.affine.copy()
    sheared[:3, 1] += 0.1 * sheared[:3, 0]
    with pytest.raises(InputError, match="orthogonal axes"):
        write_transform(DisplacementField(Grid(GRID.shape, sheared), FIELD.ddf), tmp_path / "t.h5")


def test_ants_takes_warp_and_affine_in_the_order_of_points(tmp_path: Path):
    """docs/transforms.md: ``-t warp -t affine``, the one that points meet first stands first."""
    ants, pandas = pytest.importorskip("ants"), pytest.importorskip("pandas")
    warp, linear = parts_of(CHAIN)
    write_transform(warp, tmp_path / "warp.nii.gz")
    write_transform(linear, tmp_path / "affine.mat")
    files = [str(tmp_path / "warp.nii.gz"), str(tmp_path / "affine.mat")]
    points = pandas.DataFrame(ras_lps_points(POINTS), columns=["x", "y", "z"])
    theirs = ras_lps_points(ants.apply_transforms_to_points(3, points, files).to_numpy())
    assert np.abs(theirs - apply_to_points(CHAIN, POINTS)).max() < 0.01

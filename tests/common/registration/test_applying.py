"""Stored transforms on files: a point stays on its structure, and ANTs gives the same."""

import json
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from common.errors import InputError
from common.geometry import Grid
from common.geometry.affines import transform_points
from common.geometry.transforms import Affine
from common.images import read_volume, save_volume
from common.registration.applying import apply_to_files, looks_like_labels
from common.registration.chain import Chain
from common.registration.jobs import plan
from common.registration.segmentations import Segmentation, read_segmentation, write_segmentation
from common.registration.transform_files import write_transform
from tests.common.geometry.test_transforms import GRID, affine, field
from tests.common.registration.phantom import brain, centred_affine, world_points

pytest.importorskip("SimpleITK")

#: Where the moving image and its labels lie; the field lives on the fixed image's grid, ``GRID``.
MOVING = Grid((34, 36, 33), centred_affine((34, 36, 33), spacing=(1.5, 1.6, 1.4), degrees=(0, 10, 5), shift=(2, 1, 0)))
#: Centres of three balls in the moving image, RAS mm.
BALLS = np.array([[3.0, -5.0, 8.0], [-5.0, 2.0, 11.0], [9.0, -9.0, 2.0]])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fixed and moving image, labels as balls, their centres as points, and a field and an affine between them."""
    points = world_points(MOVING.shape, MOVING.affine)
    labels = np.zeros(MOVING.shape, np.uint8)
    for number, centre in enumerate(BALLS, 1):
        labels[np.linalg.norm(points - centre, axis=-1) < 4] = number
    save_volume(brain(points), MOVING.affine, tmp_path / "moving.nii.gz")
    save_volume(labels, MOVING.affine, tmp_path / "labels.nii.gz", np.uint8)
    save_volume(brain(world_points(GRID.shape, GRID.affine)), GRID.affine, tmp_path / "fixed.nii.gz")
    write_transform(field(0), tmp_path / "warp.nii.gz")
    write_transform(Affine(np.eye(4) + 0.3 * (affine(1) - np.eye(4))), tmp_path / "affine.mat")
    lps = BALLS * (-1, -1, 1)
    rows = "".join(f"{x},{y},{z},0\n" for x, y, z in lps)
    (tmp_path / "centres.csv").write_text(f"x,y,z,t\n{rows}")
    controls = [{"label": str(n), "position": list(point)} for n, point in enumerate(BALLS, 1)]
    markups = {"markups": [{"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": controls}]}
    (tmp_path / "centres.mrk.json").write_text(json.dumps(markups))
    monkeypatch.chdir(tmp_path)
    return tmp_path


CHAIN = ["warp.nii.gz", "affine.mat"]


def run(inputs: list[str], outputs: list[str], reference: str | None = "fixed.nii.gz", *, kinds=("linear",),
        transforms: list[str] = CHAIN, inverse: bool = False, fill: float | None = None) -> None:  # fmt: skip
    jobs = plan(inputs, outputs, kinds, [*transforms, *([reference] if reference else [])])
    apply_to_files(jobs, Chain.read(transforms, inverse), reference, fill)


def centroids(path: str) -> np.ndarray:
    volume = read_volume(path, "label")
    return np.stack(
        [transform_points(volume.affine, np.argwhere(volume.voxels == n).mean(axis=0)[None])[0] for n in (1, 2, 3)]
    )


@pytest.mark.parametrize("interpolation", ["label", "nearest"])
def test_points_go_where_labels_go(folder: Path, interpolation: str):
    run(
        ["labels.nii.gz", "centres.csv", "centres.mrk.json"], ["there/"], kinds=(interpolation, "linear", "linear")
    )  # fmt: skip
    found = centroids("there/labels.nii.gz")
    pushed = np.loadtxt("there/centres.csv", delimiter=",", skiprows=1)[:, :3] * (-1, -1, 1)
    assert np.linalg.norm(found - pushed, axis=1).max() < 0.5
    assert np.linalg.norm(found - BALLS, axis=1).min() > 1.0  # they have moved, by more than the test allows
    controls = json.loads(Path("there/centres.mrk.json").read_text())["markups"][0]["controlPoints"]
    assert np.allclose([control["position"] for control in controls], pushed, atol=1e-4)


def test_there_and_back(folder: Path):
    run(["centres.csv", "labels.nii.gz"], ["there/"], kinds=("linear", "label"))
    run(
        ["there/centres.csv", "there/labels.nii.gz"],
        ["back/"],
        "moving.nii.gz",
        kinds=("linear", "label"),
        inverse=True,
    )
    points = np.loadtxt("back/centres.csv", delimiter=",", skiprows=1)[:, :3] * (-1, -1, 1)
    assert np.allclose(points, BALLS, atol=1e-3)
    assert np.linalg.norm(centroids("back/labels.nii.gz") - BALLS, axis=1).max() < 0.5


@pytest.mark.parametrize(
    ("ours", "theirs"), [("linear", "linear"), ("nearest", "nearestNeighbor"), ("label", "genericLabel")]
)
def test_ants_gives_the_same_from_the_same_list(folder: Path, ours: str, theirs: str):
    ants = pytest.importorskip("ants")
    name = "moving.nii.gz" if ours == "linear" else "labels.nii.gz"
    run([name], ["ours.nii.gz"], kinds=(ours,), fill=0.0)
    expected = ants.apply_transforms(
        ants.image_read("fixed.nii.gz"), ants.image_read(name), CHAIN, interpolator=theirs
    ).numpy()  # fmt: skip
    got = nib.load("ours.nii.gz").get_fdata()
    limit = 0.05 if ours == "linear" else 0
    assert (np.abs(got - expected) > limit).mean() < (0.01 if ours == "label" else 2e-3)
    assert (expected > 0).mean() > 0.01


def test_ants_points_go_the_other_way(folder: Path):
    ants = pytest.importorskip("ants")
    pandas = pytest.importorskip("pandas")
    run(["centres.csv"], ["ours.csv"], None, inverse=True)
    expected = ants.apply_transforms_to_points(3, pandas.read_csv("centres.csv"), CHAIN)
    got = np.loadtxt("ours.csv", delimiter=",", skiprows=1)
    assert np.allclose(got[:, :3], expected[["x", "y", "z"]], atol=1e-3)


def test_every_volume_of_a_series(folder: Path):
    one = nib.load("moving.nii.gz").get_fdata(dtype=np.float32)
    image = nib.Nifti1Image(np.stack([one, 2 * one], axis=-1), MOVING.affine)
    image.header["pixdim"][4] = 2.5
    nib.save(image, "bold.nii.gz")
    run(["moving.nii.gz", "bold.nii.gz"], ["a.nii.gz", "b.nii.gz"])
    single, series = nib.load("a.nii.gz"), nib.load("b.nii.gz")
    assert series.shape == (*GRID.shape, 2) and series.header.get_zooms()[3] == 2.5
    assert np.allclose(series.get_fdata()[..., 1], 2 * single.get_fdata(), atol=1e-3)
    with pytest.raises(InputError, match=r"output b.nrrd: expected .nii or .nii.gz for a series of 2 volumes"):
        run(["bold.nii.gz"], ["b.nrrd"])


def test_a_segmentation_keeps_its_header(folder: Path):
    labels = read_volume("labels.nii.gz", "label").voxels
    header = {
        "Segment0_Name": "ball",
        "Segment0_LabelValue": "2",
        "Segment0_Layer": "0",
        "Segment0_Extent": "0 1 0 1 0 1",
    }
    write_segmentation(Segmentation(labels[None], MOVING, header), folder / "s.seg.nrrd")
    run(["s.seg.nrrd", "labels.nii.gz"], ["moved.seg.nrrd", "moved.nii.gz"], kinds=("linear", "label"))
    found = read_segmentation("moved.seg.nrrd")
    assert found.header["Segment0_Name"] == "ball"
    assert np.array_equal(found.layers[0], read_volume("moved.nii.gz", "label").voxels)
    first, last = np.argwhere(found.layers[0] == 2).min(axis=0), np.argwhere(found.layers[0] == 2).max(axis=0)
    ends = [int(n) for n in found.header["Segment0_Extent"].split()]
    assert ends == np.stack([first, last], axis=1).ravel().tolist()


def test_an_image_of_itk_and_its_background(folder: Path):
    voxels = read_volume("moving.nii.gz", "moving").voxels - 1024.0
    save_volume(voxels, MOVING.affine, folder / "ct.nii.gz")
    run(["ct.nii.gz"], ["ct.nrrd"])
    run(["ct.nii.gz"], ["filled.nii.gz"], fill=7.0)
    got, filled = (read_volume(name, "moved").voxels for name in ("ct.nrrd", "filled.nii.gz"))
    assert abs(got.min() + 1024) < 1e-3 and (filled == 7).any()
    assert np.allclose(got[filled != 7], filled[filled != 7])


def test_what_does_not_fit_is_said(folder: Path, caplog: pytest.LogCaptureFixture):
    save_volume(np.ones((9, 9, 9)), centred_affine((9, 9, 9), shift=(400, 0, 0)), folder / "far.nii.gz")
    save_volume(np.ones((40, 30, 30)), centred_affine((40, 30, 30), shift=(25, 0, 0)), folder / "wide.nii.gz")
    with pytest.raises(InputError, match=r"reference far.nii.gz: expected it to meet the grid of field 1 of warp"):
        run(["moving.nii.gz"], ["x.nii.gz"], "far.nii.gz")
    with pytest.raises(InputError, match=r"input far.nii.gz: .* got no voxel of the reference fixed.nii.gz that lands"):
        run(["far.nii.gz"], ["x.nii.gz"])
    with pytest.raises(InputError, match=r"input moving.nii.gz: expected a reference"):
        run(["moving.nii.gz"], ["x.nii.gz"], None)
    with caplog.at_level(logging.WARNING):
        run(["moving.nii.gz"], ["x.nii.gz"], "wide.nii.gz")
        run(["labels.nii.gz"], ["y.nii.gz"])
    assert "of the reference wide.nii.gz lies within the grid of field 1" in caplog.text
    assert "labels.nii.gz looks like a label map; linear interpolation mixes labels" in caplog.text
    assert not [path for path in folder.iterdir() if "partial" in path.name]


def test_points_from_nowhere_are_said(folder: Path, caplog: pytest.LogCaptureFixture):
    (folder / "far.csv").write_text("x,y,z\n900,900,900\n")
    run(["far.csv"], ["x.csv"], None)
    assert "far.csv have no place that the transforms bring to them" in caplog.text


@pytest.mark.parametrize(
    ("kind", "expected"), [("labels", True), ("noise", False), ("flat", False), ("fraction", False)]
)
def test_what_looks_like_labels(kind: str, expected: bool):
    blocks = np.kron(np.arange(27).reshape(3, 3, 3), np.ones((6, 6, 6)))
    volume = {
        "labels": blocks,
        "noise": np.random.default_rng(0).integers(0, 60, blocks.shape),
        "flat": np.zeros(blocks.shape),
        "fraction": blocks + 0.5,
    }[kind]
    assert looks_like_labels(volume) is expected

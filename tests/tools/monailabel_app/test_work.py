"""What the worker does, without its process: labels of atlases on a study's own grid, and two images registered."""

import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from common.bundle import Bundle
from common.errors import InputError
from common.geometry import Grid, swap_ras_lps
from common.images import read_header, read_volume
from common.registration.simple_itk import grid_of_image
from tests.common.registration.phantom import make_image
from tests.tools.monailabel_app.test_atlas import NAMES
from tools.monailabel_app.work import RESULTS, register_images, save_labels, segment

QUICK = {"align": "none", "refine": "off", "keep": True, "passes": [2], "device": "cpu"}


def make_atlas(folder: Path, name: str, **geometry) -> dict:
    """An atlas of the phantom whose labels say where it is bright."""
    image = make_image(folder / f"{name}.nii.gz", **geometry)
    voxels = np.asarray(nib.load(image).dataobj)
    labels = np.where(voxels > 55, 53, np.where(voxels > 0, 17, 0)).astype(np.int16)
    nib.save(nib.Nifti1Image(labels, nib.load(image).affine), folder / f"{name}-labels.nii.gz")
    return {"name": name, "image": str(image), "labels": str(folder / f"{name}-labels.nii.gz"), "names": NAMES}


def ask(
    study: Path, atlases: list[dict], folder: Path, suffix: str = ".nrrd", fusion: str = "voting", **overrides
) -> dict:
    return segment(str(study), atlases, str(folder), "voxelmorph", overrides or QUICK, fusion, suffix)


GRIDS = {
    "oblique": {"degrees": (12, -8, 20)},
    "anisotropic": {"spacing": (1.5, 4.0, 2.5), "shape": (34, 15, 19)},
    "LPS": {"code": "LPS"},
    "PIR, oblique, anisotropic": {
        "code": "PIR",
        "degrees": (9, -6, 12),
        "spacing": (1.2, 2.0, 3.0),
        "shape": (40, 30, 16),
    },
}


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz"])
@pytest.mark.parametrize("kind", GRIDS)
def test_labels_lie_on_the_studys_own_grid(tmp_path: Path, kind: str, suffix: str):
    study = make_image(tmp_path / "study.nii.gz", **GRIDS[kind])
    done = ask(study, [make_atlas(tmp_path, "a")], tmp_path / "job", suffix)
    assert done["file"].endswith(suffix) and done["label_names"] == {"Left": 1, "Right": 2}
    image, labels = SimpleITK.ReadImage(str(study)), SimpleITK.ReadImage(done["file"])
    assert np.allclose(labels.GetDirection(), image.GetDirection(), atol=1e-6)
    assert np.allclose(labels.GetOrigin(), image.GetOrigin(), atol=1e-5)
    assert np.allclose(labels.GetSpacing(), image.GetSpacing(), atol=1e-6)
    found, voxels = SimpleITK.GetArrayFromImage(labels), SimpleITK.GetArrayFromImage(image)
    assert found.dtype == np.uint8 and found.shape == voxels.shape
    inside = voxels > 0
    assert 2 * np.sum(inside & (found > 0)) / (np.sum(inside) + np.sum(found > 0)) > 0.8
    assert voxels[found == 2].mean() > voxels[found == 1].mean()
    assert [path.name for path in (tmp_path / "job").iterdir()] == [Path(done["file"]).name]


def test_nrrd_keeps_the_affine_exactly(tmp_path: Path):
    affine = read_header(
        make_image(tmp_path / "a.nii.gz", degrees=(12, -8, 20), spacing=(0.9, 1.1, 3.3)), "study"
    ).grid.affine
    file = save_labels(np.ones((4, 5, 6), np.uint8), Grid((4, 5, 6), affine), tmp_path / "labels.nrrd")
    assert np.abs(grid_of_image(SimpleITK.ReadImage(str(file))).affine - affine).max() < 1e-12


def test_slanted_axes_are_written_as_nifti(tmp_path: Path):
    affine = np.eye(4)
    affine[0, 1] = 0.2
    file = save_labels(np.ones((4, 5, 6), np.uint8), Grid((4, 5, 6), affine), tmp_path / "labels.nrrd")
    assert file.name == "labels.nii.gz" and np.allclose(nib.load(file).affine, affine)


def test_a_dicom_series_is_a_study(tmp_path: Path):
    """Slices as a scanner writes them: the labels lie where ITK puts the series."""
    study, folder = make_image(tmp_path / "study.nii.gz", degrees=(0, 0, 15)), tmp_path / "series"
    write_series(study, folder)
    done = ask(folder, [make_atlas(tmp_path, "a")], tmp_path / "job")
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    series, labels = SimpleITK.ReadImage(names), SimpleITK.ReadImage(done["file"])
    assert labels.GetSize() == series.GetSize()
    for part in ("GetDirection", "GetOrigin", "GetSpacing"):
        assert np.allclose(getattr(labels, part)(), getattr(series, part)(), atol=1e-6)
    assert np.count_nonzero(SimpleITK.GetArrayFromImage(labels)) > 1000


def write_series(image: Path, folder: Path) -> None:
    """Write an image as a DICOM series of one file a slice."""
    folder.mkdir()
    volume = read_volume(image, "image").in_ras()
    lps, spacing = swap_ras_lps(volume.affine), volume.grid.spacing
    for number in range(volume.voxels.shape[2]):
        voxels = volume.voxels[:, :, number].T[None].astype(np.int16)
        slice_ = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels))
        slice_.SetSpacing(spacing.tolist())
        axes = (lps[:3, :3] / spacing).T
        position = lps @ np.array([0, 0, number, 1.0])
        tags = {
            "0008|0060": "MR", "0020|000e": "1.2.826.0.1.3680043.2.1125.1", "0020|000d": "1.2.826.0.1.3680043.2.1125.2",
            "0020|0013": str(number + 1), "0020|0032": "\\".join(f"{v:.9f}" for v in position[:3]),
            "0020|0037": "\\".join(f"{v:.12f}" for v in (*axes[0], *axes[1])),
        }  # fmt: skip
        for tag, value in tags.items():
            slice_.SetMetaData(tag, value)
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{number:03d}.dcm"))
        writer.Execute(slice_)


def test_one_atlas_gives_what_the_bundle_gives(tmp_path: Path):
    study, atlas = make_image(tmp_path / "study.nii.gz", deform=2.0), make_atlas(tmp_path, "a")
    done = ask(study, [atlas], tmp_path / "job", ".nii.gz")
    pair = {"fixed": str(study), "moving": atlas["image"], "moving_label": atlas["labels"]}
    Bundle("voxelmorph").register(pair, tmp_path / "bundle", **QUICK)
    moved = np.asarray(nib.load(tmp_path / "bundle" / "moved_label.nii.gz").dataobj)
    assert np.array_equal(np.array([0, 17, 53])[np.asarray(nib.load(done["file"]).dataobj)], moved)


def test_several_atlases_are_fused(tmp_path: Path):
    study = make_image(tmp_path / "study.nii.gz")
    atlases = [make_atlas(tmp_path, name, deform=deform) for name, deform in (("a", 2.0), ("b", -2.0), ("c", 0.3))]
    done = ask(study, atlases, tmp_path / "job")
    assert list(done["atlases"]) == ["a", "b", "c"]
    assert max(done["atlases"], key=lambda name: done["atlases"][name]["ncc"]) == "c"
    alone = ask(study, atlases, tmp_path / "best", fusion="best")
    only = ask(study, atlases[2:], tmp_path / "only")
    best, third = (SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(d["file"])) for d in (alone, only))
    assert np.array_equal(best, third)


@pytest.mark.parametrize("result", [result for result in RESULTS if result != "moved labels"])
def test_two_images_are_registered(tmp_path: Path, result: str):
    fixed, moving = make_image(tmp_path / "f.nii.gz"), make_image(tmp_path / "m.nii.gz", deform=1.5)
    done = register_images(str(fixed), str(moving), str(tmp_path / "job"), "voxelmorph", QUICK, result)
    file = Path(done["file"])
    assert file.name == RESULTS[result] and set(done["metrics"]) == {"before", "after"}
    if result == "moved image":
        assert nib.load(file).shape == nib.load(fixed).shape
    elif result == "field":
        assert nib.load(file).shape == (*nib.load(fixed).shape, 1, 3)
    elif result == "transform":
        check_transform(file, fixed, moving)
    else:
        assert {"moved.nii.gz", "transform.h5", "metrics.json"} <= set(zipfile.ZipFile(file).namelist())


def check_transform(file: Path, fixed: Path, moving: Path) -> None:
    """What ITK makes of the transform, whose field may be thinned, is the moved image."""
    reference = SimpleITK.ReadImage(str(fixed))
    moved = SimpleITK.Resample(SimpleITK.ReadImage(str(moving)), reference, SimpleITK.ReadTransform(str(file)))
    expected = read_volume(file.parent / "moved.nii.gz", "moved").voxels
    inner = (slice(3, -3),) * 3
    error = np.abs(SimpleITK.GetArrayFromImage(moved).T[inner] - expected[inner])
    assert error.mean() < 0.01 * expected.max()


def test_labels_come_along(tmp_path: Path):
    fixed, atlas = make_image(tmp_path / "f.nii.gz"), make_atlas(tmp_path, "a")
    arguments = (str(fixed), atlas["image"], str(tmp_path / "job"), "voxelmorph", QUICK, "moved labels")
    done = register_images(*arguments, label=atlas["labels"])
    assert set(np.unique(np.asarray(nib.load(done["file"]).dataobj))) == {0, 17, 53}


def make_noise(folder: Path) -> dict:
    """An atlas that has nothing in common with any study."""
    atlas = make_atlas(folder, "noise")
    image = nib.load(atlas["image"])
    noise = np.random.default_rng(0).uniform(20, 100, image.shape).astype(np.float32)
    nib.save(nib.Nifti1Image(noise, image.affine), atlas["image"])
    return atlas


def test_an_atlas_that_does_not_fit_is_left_out(tmp_path: Path):
    """Where the images have nothing in common, labels would be a guess."""
    study, noise = make_image(tmp_path / "study.nii.gz"), make_noise(tmp_path)
    overrides = QUICK | {"keep": False}
    with pytest.raises(InputError, match=r"expected an atlas that fits this image, got none .*keep_doubtful"):
        ask(study, [noise], tmp_path / "job", **overrides)
    assert list((tmp_path / "job").iterdir()) == []
    done = ask(study, [noise, make_atlas(tmp_path, "a")], tmp_path / "both", **overrides)
    assert list(done["atlases"]) == ["a"] and any(line.startswith("noise: the result is") for line in done["warnings"])
    kept = segment(
        str(study), [noise], str(tmp_path / "kept"), "voxelmorph", QUICK, "best", ".nrrd", keep_doubtful=True
    )
    assert list(kept["label_names"]) == ["Left", "Right"] and kept["warnings"]


def test_images_that_cannot_be_used_are_named(tmp_path: Path):
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"fixed image .*broken\.nii\.gz: expected an image"):
        ask(tmp_path / "broken.nii.gz", [make_atlas(tmp_path, "a")], tmp_path / "job")

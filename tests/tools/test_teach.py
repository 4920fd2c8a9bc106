"""The teach command on a phantom of two related subjects."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

from common.data.augment import random_deformation
from common.errors import InputError
from common.spatial import warp
from common.training.grid import TrainingGrid
from common.training.teacher_fields import TeacherFields
from common.training.volumes import load_subjects
from tools.teach import ordered_pairs, teach

SIZE = (48, 44, 40)


def write_subjects(folder: Path, count: int = 2, code: float = -1.0) -> tuple[Path, torch.Tensor]:
    """Textured balls, the second one the first under a field; the datalist, and the field (3, X, Y, Z) in voxels."""
    rng = np.random.default_rng(0)
    axes = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SIZE], indexing="ij"))
    ball = np.sqrt((axes**2).sum(0)) < 16
    first = ball * (100 + 60 * gaussian_filter(rng.standard_normal(SIZE), 2.0) / 0.06)
    field = 2.0 * random_deformation(SIZE, 1.0, torch.Generator().manual_seed(2), (20.0,))
    second = warp(torch.from_numpy(first.astype(np.float32))[None, None], field)[0, 0].numpy()
    items = []
    for number, voxels in enumerate([first, second, shift(first, (2, 0, 0), order=1)][:count]):
        path = folder / f"p{number}.nii.gz"
        image = np.clip(voxels, 0, 255).astype(np.uint8)
        # stored from right to left where the code is -1, so that RAS order has to be made
        stored: NDArray = image[::-1] if code < 0 else image
        nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(stored), np.diag([code, 1.0, 1.0, 1.0])), path)
        items.append({"id": f"p{number}", "t1": path.name})
    path = folder / "list.json"
    path.write_text(json.dumps({"training": items}))
    return path, field[0]


def test_fields_are_those_that_made_the_images_and_training_finds_them(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    datalist, field = write_subjects(tmp_path)
    teach(datalist, tmp_path / "fields", preset="fast")
    said = capsys.readouterr().out
    assert "1 of 2: p" in said and f"2 fields in {tmp_path / 'fields'}" in said
    first, second = load_subjects(str(datalist), ["t1"], TrainingGrid(2.0, None, 1))
    teacher = TeacherFields(str(tmp_path / "fields"))
    found = teacher.between(first, second)
    assert found is not None and second.place is not None and found.shape == (1, 3, *second.shape)
    wanted = torch.stack([torch.nn.functional.avg_pool3d(c[None, None], 2)[0, 0] for c in field]) / 2
    framed = torch.stack([second.place.frame.of(c) for c in wanted])[None]
    inside = second.images["t1"][None, None].expand_as(found) > 0
    inside = torch.nn.functional.avg_pool3d(inside.float(), 5, 1, 2) == 1  # texture ends at the rim
    assert (found - framed)[inside].abs().mean() < 0.4 * framed[inside].abs().mean()
    index = json.loads((tmp_path / "fields" / "index.json").read_text())
    assert index["options"] == {"modality": "t1", "preset": "fast", "start": "the alignment alone"}
    row = index["fields"]["p0 p1"]
    assert row["file"] == "p0_p1.npz" and row["smallest_determinant"] > 0 and 0 < row["sd_log_jacobian"] < 1


def test_an_interrupted_folder_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    datalist, _ = write_subjects(tmp_path, count=3)
    folder = tmp_path / "fields"
    teach(datalist, folder, pairs=2, preset="fast")
    before = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.npz")}
    with pytest.raises(InputError, match=r"holds a teacher's fields: go on with them \(--resume true\)"):
        teach(datalist, folder, preset="fast")
    capsys.readouterr()
    teach(datalist, folder, pairs=3, preset="fast", resume=True)
    assert "3 of 3" in capsys.readouterr().out
    after = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.npz")}
    assert len(after) == 3 and before.items() <= after.items()
    with pytest.raises(InputError, match="expected fields of the same images and options, got other options"):
        teach(datalist, folder, preset="accurate", resume=True)
    nibabel.save(nibabel.Nifti1Image(np.ones(SIZE, np.uint8), np.eye(4)), tmp_path / "p2.nii.gz")
    with pytest.raises(InputError, match="the same images and options, got other images"):
        teach(datalist, folder, preset="fast", resume=True)


def test_the_order_of_pairs_is_the_seed_s_and_holds_each_once() -> None:
    names = ["a", "b", "c", "d"]
    first = ordered_pairs(names, 0)
    assert len(set(first)) == 12 and all(a != b for a, b in first)
    assert first == ordered_pairs(names, 0) and first != ordered_pairs(names, 1)


def test_mistakes_are_named(tmp_path: Path) -> None:
    datalist, _ = write_subjects(tmp_path)
    with pytest.raises(InputError, match="preset: expected fast or accurate, got 'off'"):
        teach(datalist, tmp_path / "out", preset="off")
    with pytest.raises(InputError, match=r"with id and ct, got 2, without them \['p0', 'p1'\]"):
        teach(datalist, tmp_path / "out", modality="ct")
    with pytest.raises(InputError, match=r"p0.nii.gz: fields at 1.5 mm need voxels of a whole fraction"):
        teach(datalist, tmp_path / "out", spacing=1.5)
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 8), np.uint8), np.eye(4)), tmp_path / "p1.nii.gz")
    with pytest.raises(InputError, match=r"on one grid, got the shapes \[\(8, 8, 8\), \(48, 44, 40\)\]"):
        teach(datalist, tmp_path / "out")
    assert not (tmp_path / "out").exists()

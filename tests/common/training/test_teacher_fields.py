"""Teachers' fields: what is stored is what training gets, on its grid, mirrored and deformed with the images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from common.data.augment import random_deformation
from common.errors import InputError
from common.spatial import warp
from common.training.augmentation import Augmentation, SamePerson
from common.training.dataset import RegistrationPairs
from common.training.fine import Fine
from common.training.grid import Frame
from common.training.teacher_fields import (
    TeacherFields,
    TeacherFolder,
    read_field,
    smaller,
    taught_pairs,
    write_field,
)
from common.training.views import Views
from common.training.volumes import Place, Subject

WHOLE = (24, 20, 22)
FACTS = {"spacing": 2.0, "images": {}, "options": {}}


def field(seed: int = 0, strength: float = 1.0) -> Tensor:
    return random_deformation(WHOLE, strength, torch.Generator().manual_seed(seed), (12.0,))[0]


def write_folder(folder: Path, fields: dict[tuple[str, str], Tensor], **facts: Any) -> Path:
    stored = TeacherFolder(folder)
    stored.facts = {**FACTS, **facts}
    for (moving, fixed), ddf in fields.items():
        stored.add(moving, fixed, ddf, {})
    return folder


def subject(name: str, image: Tensor | None = None, spacing: float = 2.0, start: int = 0) -> Subject:
    """A subject whose volumes start so many voxels inside of its file's."""
    image = torch.rand(WHOLE) if image is None else image
    size = [n - start for n in image.shape]
    place = Place(Frame([start] * 3, size), tuple(image.shape), (spacing,) * 3)
    voxels = place.frame.of((255 * image).round().to(torch.uint8))
    return Subject(name, {"t1": voxels}, (voxels > 60).to(torch.uint8), place)


def related() -> tuple[Subject, Subject, Tensor]:
    """Two subjects and the field between them: fixed(x) = moving(x + field(x)), within eight bits."""
    axes = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in WHOLE], indexing="ij"))
    moving = 0.5 + 0.2 * torch.sin(axes[0] / 4) + 0.25 * torch.cos(axes[1] / 3.5) * torch.sin(axes[2] / 4)
    ddf = field(5, 1.5)
    return subject("a", moving), subject("b", warp(moving[None, None], ddf[None], padding="border")[0, 0]), ddf


def test_a_field_comes_back_to_half_a_step(tmp_path: Path) -> None:
    ddf = field()
    write_field(ddf, tmp_path / "one.npz")
    stored = read_field(tmp_path / "one.npz")
    assert stored.dtype == torch.int16 and (stored.float() / 256 - ddf).abs().max() <= 0.5 / 256 + 1e-6
    first = (tmp_path / "one.npz").read_bytes()
    write_field(ddf, tmp_path / "one.npz")
    assert (tmp_path / "one.npz").read_bytes() == first


def test_blocks_take_the_mean_displacement_in_their_own_voxels() -> None:
    """Of a linear field the mean of a block is its value in the block's centre."""
    axes = torch.stack(torch.meshgrid(*[torch.arange(12.0)] * 3, indexing="ij"))
    linear = torch.stack([0.1 * axes[0], 0.2 * axes[1] - axes[0] / 8, torch.full_like(axes[2], 3.0)])
    small = smaller(linear, (2, 2, 3))
    centres = torch.stack(
        torch.meshgrid(
            2 * torch.arange(6.0) + 0.5, 2 * torch.arange(6.0) + 0.5, 1 + 3 * torch.arange(4.0), indexing="ij"
        )
    )
    expected = [0.1 * centres[0] / 2, (0.2 * centres[1] - centres[0] / 8) / 2, torch.full((6, 6, 4), 1.0)]
    torch.testing.assert_close(small, torch.stack(expected))


@pytest.mark.parametrize(("spacing", "start"), [(2.0, 0), (2.0, 3), (4.0, 1), (1.0, 5)])
def test_a_field_is_handed_out_on_the_subjects_own_grid(tmp_path: Path, spacing: float, start: int) -> None:
    """A constant displacement in mm stays one, wherever the window lies."""
    constant = torch.tensor([1.0, -2.0, 0.5]).view(3, 1, 1, 1).expand(3, *WHOLE)
    teacher = TeacherFields(str(write_folder(tmp_path, {("a", "b"): constant})))
    shape = [round(n * 2.0 / spacing) for n in WHOLE]
    a, b = (subject(name, torch.rand(*shape), spacing, start) for name in "ab")
    ddf = teacher.between(a, b)
    assert ddf is not None and ddf.shape == (1, 3, *b.shape)
    torch.testing.assert_close(ddf, constant[None, :, :1, :1, :1].expand_as(ddf) * 2.0 / spacing)
    assert teacher.between(b, a) is None


def test_a_window_holds_its_own_part(tmp_path: Path) -> None:
    ddf = field(3)
    teacher = TeacherFields(str(write_folder(tmp_path, {("a", "b"): ddf})))
    found = teacher.between(subject("a", start=4), subject("b", start=4))
    assert found is not None and (found[0] - ddf[:, 4:, 4:, 4:]).abs().max() < 0.5 / 256 + 1e-6


def test_images_meet_under_what_the_data_set_calls_true(tmp_path: Path) -> None:
    """Mirrored along any axes, both sides deformed and turned, and also where both sides are one person."""
    moving, fixed, ddf = related()
    folder = write_folder(tmp_path, {("a", "b"): ddf})
    augmentation = Augmentation(deformation=1.0, deformation_chance=0.8, flip=True, flip_axes=[0, 1, 2])
    pairs = RegistrationPairs(
        [moving, fixed],
        Views({"t1-t1": 1.0}),
        augmentation=augmentation,
        same_person=SamePerson(0.2),
        teacher=TeacherFields(str(folder)),
    )
    known = 0
    for index in range(40):
        item = pairs[index]
        if not item["true_known"]:  # from b to a, of which the teacher says nothing
            assert not item["true_ddf"].any()
            continue
        known += 1
        middle = (slice(None), *[slice(5, -5)] * 3)
        error = (warp(item["moving"][None], item["true_ddf"][None])[0] - item["fixed"])[middle].abs().mean()
        before = (item["moving"] - item["fixed"])[middle].abs().mean()
        assert error < 0.02 and (error < 0.4 * before or before < 0.02)
    assert 15 < known < 40


def test_taught_pairs_come_in_turn(tmp_path: Path) -> None:
    subjects = [subject(name) for name in "abc"]
    folder = write_folder(tmp_path, {("c", "a"): field(1), ("b", "c"): field(2), ("a", "z"): field(3)})
    teacher = TeacherFields(str(folder))
    assert taught_pairs(teacher, subjects, "drawn") == [(2, 0), (1, 2)]
    pairs = RegistrationPairs(subjects, Views({"t1-t1": 1.0}), pairing="taught", teacher=teacher)
    items = [pairs[n] for n in range(4)]
    assert all(item["true_known"] == 1 for item in items)
    first = {float(item["true_ddf"].sum()) for item in items[:2]}
    assert len(first) == 2 and first == {float(item["true_ddf"].sum()) for item in items[2:]}


def test_fine_steps_get_the_field_at_their_spacing(tmp_path: Path) -> None:
    constant = torch.ones(3, *WHOLE)
    coarse = [subject(name) for name in "ab"]
    finer = [subject(name, torch.rand(*[2 * n for n in WHOLE]), 1.0) for name in "ab"]
    teacher = TeacherFields(str(write_folder(tmp_path, {("a", "b"): constant})))
    fine = Fine(finer, 1.0, [16, 16, 16])
    item = RegistrationPairs(coarse, Views({"t1-t1": 1.0}), pairing="taught", teacher=teacher, fine=fine)[0]
    assert item["true_known"] == 1 and item["true_ddf"].shape == (3, 48, 40, 44)
    assert torch.all(item["true_ddf"] == 2.0)


def test_what_is_no_teacher_s_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"one.npz: expected components of at most 127.996 voxels, got 200"):
        write_field(torch.full((3, 2, 2, 2), 200.0), tmp_path / "one.npz")
    with pytest.raises(InputError, match="got nan"):
        write_field(torch.full((3, 2, 2, 2), torch.nan), tmp_path / "one.npz")
    with pytest.raises(InputError, match=r"one.npz: expected a teacher's field, got FileNotFoundError"):
        read_field(tmp_path / "one.npz")
    np.savez(tmp_path / "two.npz", field=np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"two.npz: expected a teacher's field, got ValueError: .*allow_pickle"):
        read_field(tmp_path / "two.npz")
    np.savez(tmp_path / "two.npz", field=np.zeros((3, 2, 2), np.int16))
    with pytest.raises(InputError, match=r"two.npz: expected int16 \(3, X, Y, Z\), got int16 \(3, 2, 2\)"):
        read_field(tmp_path / "two.npz")
    with pytest.raises(InputError, match=r"index.json: expected a JSON file"):
        TeacherFields(str(tmp_path))
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(InputError, match=r"index.json: expected the index of a teacher's fields, got \[\]"):
        TeacherFields(str(tmp_path))
    (tmp_path / "index.json").write_text(json.dumps({**FACTS, "fields": {}}))
    with pytest.raises(InputError, match="expected fields, found none"):
        TeacherFields(str(tmp_path))


def test_a_teacher_of_other_subjects_is_refused(tmp_path: Path) -> None:
    teacher = TeacherFields(str(write_folder(tmp_path, {("a", "b"): field()})))
    with pytest.raises(InputError, match=r"expected fields for two of the subjects \['a', 'c'\], found none"):
        taught_pairs(teacher, [subject("a"), subject("c")], "drawn")
    with pytest.raises(InputError, match=r"pairing: taught expects a teacher's fields \(teacher_fields\), got none"):
        taught_pairs(None, [subject("a")], "taught")
    other = [subject(name, torch.rand(12, 12, 12)) for name in "ab"]
    with pytest.raises(InputError, match=r"subjects' grid of \(12, 12, 12\) voxels .*, got \(24, 20, 22\)"):
        teacher.between(*other)
    odd = [subject(name, torch.rand(*WHOLE), 3.0) for name in "ab"]
    with pytest.raises(InputError, match=r"a multiple or a whole fraction of that, got \[3.0, 3.0, 3.0\] mm"):
        teacher.between(*odd)
    bare = Subject("b", {"t1": torch.zeros(4, 4, 4, dtype=torch.uint8)}, None)
    with pytest.raises(InputError, match="need subjects that know where they lie, b does not"):
        teacher.between(subject("a"), bare)

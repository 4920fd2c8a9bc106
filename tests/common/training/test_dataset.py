from pathlib import Path
from typing import Any

import pytest
import torch

from common.data.shapes import ShapePairs
from common.errors import InputError
from common.spatial import warp
from common.training.augmentation import Augmentation, SamePerson
from common.training.dataset import RegistrationPairs, transformed
from common.training.fine import Fine
from common.training.grid import TrainingGrid
from common.training.views import Views
from common.training.volumes import Subject, load_subjects
from tests.common.training.tiny import write_data_set

SYNTH = {"t1-t1": 0.25, "t1-ct": 0.3, "ct-t1": 0.05, "t1-random": 0.25, "random-random": 0.15}
VARIED = Augmentation(deformation=1.0, flip=True, intensity=0.5)


@pytest.fixture
def coarse(tmp_path: Path) -> list[Subject]:
    return load_subjects(str(write_data_set(tmp_path)), ["t1", "ct"], TrainingGrid(4.0, [8, 8, 8]))


@pytest.fixture
def subjects(tmp_path: Path) -> list[Subject]:
    return load_subjects(str(write_data_set(tmp_path)), ["t1", "ct"], TrainingGrid(2.0, [16, 16, 16]))


def pairs_of(subjects: list[Subject], *contrasts: str, **options: Any) -> RegistrationPairs:
    return RegistrationPairs(subjects, Views(dict.fromkeys(contrasts or ["t1-ct"], 1.0)), **options)


def mean(item: dict[str, torch.Tensor], key: str) -> float:
    return float(item[key].double().abs().mean()) if key in item else 0.0


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("synth", [1.45056, 1.24293, 2.42847, 1.18899, 0]),
        ("tissues", [1.6656, 1.23313, 2.21533, 0, 0]),
        ("crop", [2.31592, 2.05882, 3.83984, 2.8131, 0]),
        ("fine", [1.8929, 1.20235, 2.53955, 5.07423, 7]),
        ("shapes", [1.99104, 1.94718, 42.8674, 0, 0]),
    ],
)
def test_items_are_those_of_version_0_2(
    subjects: list[Subject], coarse: list[Subject], kind: str, expected: list[float]
) -> None:
    pairs = {
        "synth": lambda: RegistrationPairs(
            subjects,
            Views(SYNTH, "t1", [0, 3, 2]),
            seed=3,
            augmentation=VARIED,
            same_person=SamePerson(0.4),
        ),
        "tissues": lambda: RegistrationPairs(
            subjects,
            Views({"like_t1-like_ct": 1.0, "ct-like_ct": 1.0}, "t1", [0, 3, 2]),
            seed=1,
            augmentation=Augmentation(deformation=2.0, flip=True),
        ),
        "crop": lambda: RegistrationPairs(
            subjects,
            Views(SYNTH),
            seed=5,
            augmentation=Augmentation(deformation=1.0, intensity=1.0),
            same_person=SamePerson(0.5),
            crop=[8, 16, 12],
        ),
        "fine": lambda: RegistrationPairs(
            coarse,
            Views(SYNTH, "t1"),
            seed=9,
            augmentation=VARIED,
            same_person=SamePerson(0.4),
            crop=[4, 8, 8],
            fine=Fine(subjects, 0.5),
            batch_size=2,
        ),
        "shapes": lambda: ShapePairs([16, 16, 16], seed=2),
    }[kind]()
    items = [pairs[index] for index in (0, 1, 2, 3, 12345)]
    keys = ("image", "moving", "fixed_label", "true_ddf", "window")
    found = [sum(mean(item, key) for item in items) for key in keys]
    assert found == pytest.approx(expected, rel=1e-4)


def test_items_are_functions_of_seed_and_number(subjects: list[Subject]) -> None:
    options = {"augmentation": VARIED}
    first, again = (pairs_of(subjects, "t1-ct", "random-random", **options, seed=4) for _ in range(2))
    for index in (0, 7, 12345):
        for key, value in first[index].items():
            assert torch.equal(value, again[index][key]), key
    other = pairs_of(subjects, "t1-ct", "random-random", **options, seed=5)
    assert not torch.equal(first[0]["image"], first[1]["image"])
    assert not torch.equal(first[0]["image"], other[0]["image"])


def test_the_plain_recipe_hands_out_the_files_as_they_are(subjects: list[Subject]) -> None:
    pairs = pairs_of(subjects)
    known = {key: [s.images[key].float() / 255 for s in subjects] for key in ("t1", "ct")}
    for index in range(5):
        item = pairs[index]
        assert any(torch.equal(item["image"][0], image) for image in known["t1"])
        assert any(torch.equal(item["image"][1], image) for image in known["ct"])
        assert torch.equal(item["moving"][0], item["image"][0]) and torch.equal(item["fixed"][0], item["image"][1])
        assert item["moving_label"].shape == (1, 16, 16, 16)


def test_pairs_of_one_person_carry_the_field_that_made_them(subjects: list[Subject]) -> None:
    pairs = pairs_of(subjects, "t1-t1", same_person=SamePerson(1.0, 2.0), augmentation=Augmentation(flip=True))
    for index in range(3):
        item = pairs[index]
        assert item["true_known"] == 1.0 and item["true_ddf"].shape == (3, 16, 16, 16)
        assert item["true_ddf"].abs().max() > 0.3
        torch.testing.assert_close(warp(item["moving"][None], item["true_ddf"][None])[0], item["fixed"])
        moved = warp(item["moving_label"][None].float(), item["true_ddf"][None], mode="nearest")[0]
        assert torch.equal(moved, item["fixed_label"].float())


def test_pairs_of_two_persons_say_that_no_field_is_known(subjects: list[Subject]) -> None:
    pairs = pairs_of(subjects, same_person=SamePerson(0.5), augmentation=Augmentation(deformation=1.0))
    known = [float(pairs[index]["true_known"]) for index in range(60)]
    assert 0.3 < sum(known) / len(known) < 0.7
    foreign = pairs[known.index(0.0)]
    assert foreign["true_ddf"].abs().max() == 0
    assert "true_ddf" not in pairs_of(subjects)[0]


def test_a_crop_is_one_window_of_everything(subjects: list[Subject]) -> None:
    options = {"augmentation": Augmentation(deformation=1.0), "same_person": SamePerson(0.5), "seed": 2}
    whole, part = pairs_of(subjects, **options), pairs_of(subjects, **options, crop=[8, 16, 12])
    seen = set()
    for index in range(8):
        full, item = whole[index], part[index]
        starts = [
            (i, k)
            for i in range(9)
            for k in range(5)
            if torch.equal(full["image"][:, i : i + 8, :, k : k + 12], item["image"])
        ]
        assert starts
        seen.add(starts[0])
        (i, k), *_ = starts
        for key in ("moving", "fixed", "moving_label", "fixed_label", "true_ddf"):
            assert torch.equal(full[key][:, i : i + 8, :, k : k + 12], item[key]), key
        assert torch.equal(full["true_known"], item["true_known"])
    assert len(seen) > 3


def test_fine_items_are_whole_volumes_with_a_window(coarse: list[Subject], subjects: list[Subject]) -> None:
    views = Views({"t1-ct": 1.0, "ct-t1": 1.0}, target="t1")
    options = {"same_person": SamePerson(0.5), "batch_size": 2}
    pairs = RegistrationPairs(coarse, views, **options, fine=Fine(subjects, 0.5))
    items = [pairs[index] for index in range(60)]
    are_fine = ["window" in item for item in items]
    assert are_fine[::2] == are_fine[1::2]  # a batch is of one kind
    assert 15 < sum(are_fine) < 45
    contrasts = set()
    for item in (item for item, is_fine in zip(items, are_fine, strict=True) if is_fine):
        assert item["image"].shape == (2, 16, 16, 16) and item["window_size"].tolist() == [8, 8, 8]
        if item["true_known"]:
            torch.testing.assert_close(warp(item["moving"][None], item["true_ddf"][None])[0], item["fixed"])
        assert any(torch.equal(item["moving"][0], s.images["t1"].float() / 255) for s in subjects)
        assert (item["window"] >= 0).all() and (item["window"] + item["window_size"] <= 16).all()
        contrasts.add(torch.equal(item["image"][:1], item["moving"]))
    assert contrasts == {True, False}
    without = RegistrationPairs(coarse, views, **options, fine=Fine(subjects))
    assert all("window" not in without[index] for index in range(5))


def test_flips_concern_both_sides(subjects: list[Subject]) -> None:
    item = pairs_of(subjects[:1], "t1-t1", augmentation=Augmentation(flip=True))
    plain = subjects[0].images["t1"].float() / 255
    seen = [item[i]["image"] for i in range(12)]
    assert all(torch.equal(pair[0], pair[1]) for pair in seen)
    assert {torch.equal(pair[0], plain) for pair in seen} == {True, False}


def test_wrong_options_are_named(subjects: list[Subject]) -> None:
    with pytest.raises(InputError, match=r"got \['pet'\]"):
        pairs_of(subjects, "t1-pet")
    with pytest.raises(InputError, match="at least one subject"):
        pairs_of([])
    with pytest.raises(InputError, match=r"crop expects a window inside of the grid \(16, 16, 16\), got \[8, 32, 8\]"):
        pairs_of(subjects, crop=[8, 32, 8])
    with pytest.raises(InputError, match="fine_window expects a window inside of the grid"):
        pairs_of(subjects, fine=Fine(subjects, 0.5, [8, 8, 24]))
    bare = [Subject("x", subjects[0].images, None)]
    assert "moving_label" not in pairs_of(bare, "t1-t1", augmentation=Augmentation(deformation=1.0))[0]


def test_a_flip_along_all_axes_turns_images_and_labels_alike(subjects: list[Subject]) -> None:
    images, label = transformed(subjects[0], [0, 2], None)
    assert torch.equal(images["t1"][0], subjects[0].images["t1"].flip(0, 2).float() / 255)
    assert label is not None and subjects[0].label is not None and torch.equal(label, subjects[0].label.flip(0, 2))


def test_an_epoch_of_ordered_pairs_shows_every_pair_once(subjects: list[Subject]) -> None:
    pairs = pairs_of(subjects, "t1-t1", pairing="ordered")
    seen = {
        (tuple(pairs[n]["moving"].flatten().tolist()), tuple(pairs[n]["fixed"].flatten().tolist())) for n in range(6)
    }
    assert len(seen) == 6 and all(moving != fixed for moving, fixed in seen)

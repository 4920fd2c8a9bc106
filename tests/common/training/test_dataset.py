from pathlib import Path

import pytest
import torch

from common.errors import InputError
from common.spatial import warp
from common.training.dataset import RegistrationPairs, StepSampler
from common.training.volumes import Subject, load_subjects
from tests.common.training.tiny import write_data_set


@pytest.fixture
def subjects(tmp_path: Path) -> list[Subject]:
    return load_subjects(str(write_data_set(tmp_path)), ["t1", "ct"], 2.0, [16, 16, 16])


def test_items_are_functions_of_seed_and_number(subjects: list[Subject]) -> None:
    options = {"contrasts": {"t1-ct": 1.0, "random-random": 1.0}, "deformation": 1.0, "flip": True, "intensity": 0.5}
    first, again = (RegistrationPairs(subjects, **options, seed=4) for _ in range(2))
    for index in (0, 7, 12345):
        for key, value in first[index].items():
            assert torch.equal(value, again[index][key]), key
    assert not torch.equal(first[0]["image"], first[1]["image"])
    assert not torch.equal(first[0]["image"], RegistrationPairs(subjects, **options, seed=5)[0]["image"])


def test_the_plain_recipe_hands_out_the_files_as_they_are(subjects: list[Subject]) -> None:
    pairs = RegistrationPairs(subjects, {"t1-ct": 1.0})
    known = {key: [s.images[key].float() / 255 for s in subjects] for key in ("t1", "ct")}
    for index in range(5):
        item = pairs[index]
        assert any(torch.equal(item["image"][0], image) for image in known["t1"])
        assert any(torch.equal(item["image"][1], image) for image in known["ct"])
        assert torch.equal(item["moving"][0], item["image"][0]) and torch.equal(item["fixed"][0], item["image"][1])
        assert item["moving_label"].shape == (1, 16, 16, 16)


def test_the_loss_can_look_at_another_contrast_than_the_network(subjects: list[Subject]) -> None:
    item = RegistrationPairs(subjects, {"random-like_ct": 1.0}, target="t1", identifiers=[0, 3, 2])[3]
    assert any(torch.equal(item["moving"][0], s.images["t1"].float() / 255) for s in subjects)
    assert not torch.equal(item["image"][0], item["moving"][0])
    assert item["image"].min() >= 0 and item["image"].max() <= 1


def test_contrasts_come_in_their_shares(subjects: list[Subject]) -> None:
    pairs = RegistrationPairs(subjects, {"t1-t1": 3.0, "ct-ct": 1.0})
    drawn = [pairs._draw_contrast(torch.Generator().manual_seed(s)) for s in range(400)]
    assert 0.65 < sum(c == ("t1", "t1") for c in drawn) / 400 < 0.85


def test_pairs_of_one_person_carry_the_field_that_made_them(subjects: list[Subject]) -> None:
    pairs = RegistrationPairs(subjects, {"t1-t1": 1.0}, same_person=1.0, same_person_deformation=2.0, flip=True)
    for index in range(3):
        item = pairs[index]
        assert item["true_known"] == 1.0 and item["true_ddf"].shape == (3, 16, 16, 16)
        assert item["true_ddf"].abs().max() > 0.3
        torch.testing.assert_close(warp(item["moving"][None], item["true_ddf"][None])[0], item["fixed"])
        moved = warp(item["moving_label"][None].float(), item["true_ddf"][None], mode="nearest")[0]
        assert torch.equal(moved, item["fixed_label"].float())


def test_pairs_of_two_persons_say_that_no_field_is_known(subjects: list[Subject]) -> None:
    pairs = RegistrationPairs(subjects, {"t1-ct": 1.0}, same_person=0.5, deformation=1.0)
    known = [float(pairs[index]["true_known"]) for index in range(60)]
    assert 0.3 < sum(known) / len(known) < 0.7
    foreign = pairs[known.index(0.0)]
    assert foreign["true_ddf"].abs().max() == 0
    assert "true_ddf" not in RegistrationPairs(subjects, {"t1-ct": 1.0})[0]


def test_a_crop_is_one_window_of_everything(subjects: list[Subject]) -> None:
    options = {"contrasts": {"t1-ct": 1.0}, "deformation": 1.0, "same_person": 0.5, "seed": 2}
    whole, part = RegistrationPairs(subjects, **options), RegistrationPairs(subjects, **options, crop=[8, 16, 12])
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
    with pytest.raises(InputError, match=r"window inside of the grid \(16, 16, 16\), got \[8, 32, 8\]"):
        RegistrationPairs(subjects, {"t1-t1": 1.0}, crop=[8, 32, 8])


def test_fine_items_are_whole_volumes_with_a_window(tmp_path: Path) -> None:
    datalist = str(write_data_set(tmp_path))
    coarse, fine = (load_subjects(datalist, ["t1", "ct"], mm, [n, n, n]) for mm, n in ((4.0, 8), (2.0, 16)))
    options = {"contrasts": {"t1-ct": 1.0, "ct-t1": 1.0}, "target": "t1", "same_person": 0.5}
    pairs = RegistrationPairs(coarse, **options, fine=fine, fine_share=0.5, batch_size=2)
    items = [pairs[index] for index in range(60)]
    are_fine = ["window" in item for item in items]
    assert are_fine[::2] == are_fine[1::2]  # a batch is of one kind
    assert 15 < sum(are_fine) < 45
    contrasts = set()
    for item in (item for item, is_fine in zip(items, are_fine, strict=True) if is_fine):
        assert item["image"].shape == (2, 16, 16, 16)
        if item["true_known"]:
            torch.testing.assert_close(warp(item["moving"][None], item["true_ddf"][None])[0], item["fixed"])
        assert any(torch.equal(item["moving"][0], s.images["t1"].float() / 255) for s in fine)
        assert (item["window"] >= 0).all() and (item["window"] + item["window_size"] <= 16).all()
        contrasts.add(torch.equal(item["image"][:1], item["moving"]))
    assert contrasts == {True, False}
    assert all("window" not in item for item in (RegistrationPairs(coarse, **options, fine=fine)[i] for i in range(5)))
    with pytest.raises(InputError, match="fine_window expects a window inside of the grid"):
        RegistrationPairs(coarse, **options, fine=fine, fine_share=0.5, fine_window=[8, 8, 24])


def test_flips_concern_both_sides(subjects: list[Subject]) -> None:
    item = RegistrationPairs(subjects[:1], {"t1-t1": 1.0}, flip=True)
    plain = subjects[0].images["t1"].float() / 255
    seen = [item[i]["image"] for i in range(12)]
    assert all(torch.equal(pair[0], pair[1]) for pair in seen)
    assert {torch.equal(pair[0], plain) for pair in seen} == {True, False}


def test_wrong_options_are_named(subjects: list[Subject]) -> None:
    with pytest.raises(InputError, match=r"got \['pet'\]"):
        RegistrationPairs(subjects, {"t1-pet": 1.0})
    with pytest.raises(InputError, match="at least one subject"):
        RegistrationPairs([], {"t1-t1": 1.0})
    bare = [Subject("x", subjects[0].images, None)]
    with pytest.raises(InputError, match="synthesised from label maps"):
        RegistrationPairs(bare, {"random-t1": 1.0})[0]
    assert "moving_label" not in RegistrationPairs(bare, {"t1-t1": 1.0}, deformation=1.0)[0]


def test_sampler_goes_on_over_epochs_and_shares_out_over_ranks() -> None:
    one = StepSampler(6)
    one.set_epoch(2)
    assert list(one) == [12, 13, 14, 15, 16, 17] and len(one) == 6
    ranks = [StepSampler(6, rank, 2) for rank in range(2)]
    for sampler in ranks:
        sampler.set_epoch(2)
    assert [list(s) for s in ranks] == [[12, 14, 16], [13, 15, 17]]
    with pytest.raises(InputError, match="cannot be shared evenly by 4"):
        StepSampler(6, 0, 4)

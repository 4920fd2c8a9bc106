import pytest
import torch

from common.errors import InputError
from common.training.augmentation import Augmentation, SamePerson


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nothing_is_varied_by_default() -> None:
    image = torch.rand(1, 8, 8, 8)
    assert Augmentation().field((8, 8, 8), generator()) is None
    assert Augmentation().shaded(image, generator()) is image
    assert not any(Augmentation().mirrors(generator(seed)) for seed in range(20))
    assert not any(SamePerson().drawn(generator(seed)) for seed in range(20))


def test_a_share_of_the_images_gets_the_defects_of_scans() -> None:
    image, label = torch.rand(1, 12, 12, 12), torch.ones(12, 12, 12, dtype=torch.uint8)
    label[:3] = 0
    some = Augmentation(acquisition=0.5)
    assert Augmentation().acquired(image, label, generator()) is image
    same = [some.acquired(image, label, generator(seed)) is image for seed in range(60)]
    assert 15 < sum(same) < 45
    for brain in (label, None):
        seen = Augmentation(acquisition=1.0).acquired(image, brain, generator(3))
        assert seen.shape == image.shape and not torch.equal(seen, image)


def test_shares_are_kept() -> None:
    some, sure = Augmentation(deformation=1.0, deformation_chance=0.3, flip=True), SamePerson(share=1.0)
    fields = [some.field((8, 8, 8), generator(seed)) for seed in range(100)]
    assert 15 < sum(field is not None for field in fields) < 45
    assert 35 < sum(some.mirrors(generator(seed)) == [0] for seed in range(100)) < 65
    assert all(sure.drawn(generator(seed)) for seed in range(20))


def test_shading_changes_tissue_and_leaves_black_black() -> None:
    image = torch.rand(1, 8, 8, 8) * (torch.arange(8) > 3)
    seen = [Augmentation(intensity=0.5).shaded(image, generator(seed)) for seed in range(40)]
    assert 3 < sum(shaded is image for shaded in seen) < 20
    for shaded in seen:
        assert shaded.min() >= 0 and shaded.max() <= 1 and shaded[..., :4].max() < 0.01


def test_the_strong_field_is_the_same_in_millimetres_on_a_finer_grid() -> None:
    coarse = SamePerson(1.0, 3.0).field((16, 16, 16), 1.0, generator())
    fine = SamePerson(1.0, 3.0).field((32, 32, 32), 2.0, generator())
    assert fine.shape == (1, 3, 32, 32, 32)
    assert float(fine.abs().mean() / coarse.abs().mean()) == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize(("value", "expected"), [("false", False), ("true", True), ("No", False), (True, True)])
def test_switches_are_read_as_people_write_them(value: bool, expected: bool) -> None:
    assert Augmentation(flip=value).flip is expected
    with pytest.raises(InputError, match="Augmentation's flip to be true or false"):
        Augmentation(flip="sometimes")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="SamePerson's share to be a number, got the text 'half'"):
        SamePerson(share="half")  # type: ignore[arg-type]


def test_each_of_the_axes_is_mirrored_in_half_of_the_pairs() -> None:
    every = Augmentation(flip=True, flip_axes=[0, 1, 2])
    found = [tuple(every.mirrors(generator(seed))) for seed in range(200)]
    assert len(set(found)) == 8  # one axis says nothing about another
    for axis in range(3):
        assert 70 < sum(axis in axes for axes in found) < 130
    with pytest.raises(InputError, match=r"flip_axes: expected some of 0, 1 and 2, got \[3\]"):
        Augmentation(flip=True, flip_axes=[3])

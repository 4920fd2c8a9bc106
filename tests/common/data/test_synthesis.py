import pytest
import torch

from common.data.contrasts import CONTRASTS, CT_CONTRAST, T1_CONTRAST, TISSUES, tissue_of
from common.data.shapes import ShapePairs, random_shapes
from common.data.synthesis import (
    corrupt,
    crop_field_of_view,
    gaussian_blur,
    paint,
    random_table,
    render,
    rescale,
    thick_slices,
    tissue_table,
)
from common.errors import InputError

IDENTIFIERS = [0, 2, 3, 4, 10, 16]  # background, white, cortex, ventricle, thalamus, brain stem


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def label() -> torch.Tensor:
    label = torch.zeros(16, 20, 18, dtype=torch.uint8)
    for value in range(1, 6):
        label[2:14, 3 * value : 3 * value + 3, 2:16] = value
    return label


@pytest.mark.parametrize("contrast", ["random", *CONTRASTS])
def test_render_gives_an_image_in_range_that_repeats_with_the_seed(label: torch.Tensor, contrast: str) -> None:
    image = render(label, contrast, generator(4), IDENTIFIERS)
    assert image.shape == (1, *label.shape)
    assert image.min() >= 0 and image.max() <= 1 and image.std() > 0.01
    assert torch.equal(image, render(label, contrast, generator(4), IDENTIFIERS))
    assert not torch.equal(image, render(label, contrast, generator(5), IDENTIFIERS))


def test_contrasts_order_the_tissues_as_scanners_do(label: torch.Tensor) -> None:
    def tissue(contrast: str, value: int) -> float:
        quiet = {"blur": 0.0, "bias": 0.0, "gamma": 0.0, "noise": 0.0, "low_resolution": 0.0}
        return float(render(label, contrast, generator(1), IDENTIFIERS, **quiet)[0][label == value].mean())

    assert tissue("t1", 3) < tissue("t1", 2) < tissue("t1", 1)  # fluid < cortex < white matter
    assert tissue("ct", 3) < tissue("ct", 1) < tissue("ct", 2)  # fluid < white matter < cortex
    assert tissue("t2", 1) < tissue("t2", 2) < tissue("t2", 3)  # white matter < cortex < fluid
    assert tissue("pd", 1) < tissue("pd", 3) < tissue("pd", 2)  # white matter < fluid < cortex
    assert tissue("flair", 3) < tissue("flair", 1) < tissue("flair", 2)  # fluid < white matter < cortex


def test_render_says_what_it_needs(label: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"FreeSurfer number of each label .* got none"):
        render(label, "t1", generator())
    with pytest.raises(InputError, match="got 2 for labels up to 5"):
        render(label, "ct", generator(), IDENTIFIERS[:2])
    with pytest.raises(InputError, match="contrast: expected random, t1, ct, t2, pd, flair, got 'pet'"):
        render(label, "pet", generator())


def test_every_known_label_has_a_tissue_in_both_contrasts() -> None:
    for numbers in TISSUES.values():
        for number in numbers:
            assert tissue_of(number) in T1_CONTRAST and tissue_of(number) in CT_CONTRAST
    assert tissue_of(1035) == "cortex"
    with pytest.raises(InputError, match="FreeSurfer label 9999"):
        tissue_of(9999)


def test_paint_and_tables(label: torch.Tensor) -> None:
    means, spreads = torch.tensor([0.0, 0.5, 0.2, 0.9, 0.4, 0.7]), torch.zeros(6)
    assert torch.equal(paint(label, means, spreads, generator())[0], means[label.long()])
    table, _ = tissue_table(IDENTIFIERS, T1_CONTRAST, generator())
    assert table[0] == 0 and len(table) == 6
    assert any(random_table(4, generator(s))[0][0] == 0 for s in range(5))
    assert any(random_table(4, generator(s))[0][0] > 0 for s in range(5))


def test_blur_keeps_constants_and_the_mean_of_an_impulse() -> None:
    flat = torch.full((1, 9, 9, 9), 0.3)
    torch.testing.assert_close(gaussian_blur(flat, 1.5), flat)
    impulse = torch.zeros(1, 15, 15, 15)
    impulse[0, 7, 7, 7] = 1.0
    blurred = gaussian_blur(impulse, 1.0)
    assert blurred.sum() == pytest.approx(1.0, abs=1e-5)
    offsets = torch.arange(15.0) - 7
    assert (blurred.sum((0, 2, 3)) * offsets**2).sum() == pytest.approx(1.0, abs=0.1)
    assert torch.equal(gaussian_blur(impulse, (0.0, 0.0, 0.0)), impulse)


def test_corruptions_change_what_they_say(label: torch.Tensor) -> None:
    image = torch.rand(1, *label.shape, generator=generator())
    assert thick_slices(image, generator()).std() < image.std()
    blanks = [(crop_field_of_view(image, generator(s)) == 0).float().mean() for s in range(8)]
    assert max(blanks) > 0.02 and max(blanks) < 0.21
    quiet = corrupt(image, generator(), blur=0, bias=0, gamma=0, noise=0, low_resolution=0)
    torch.testing.assert_close(quiet, rescale(image))
    assert torch.equal(rescale(torch.full((1, 2, 2, 2), 3.0)), torch.zeros(1, 2, 2, 2))


def test_random_shapes_need_no_data_and_pairs_share_their_labels() -> None:
    shapes = random_shapes((24, 20, 16), generator(), labels=6)
    assert shapes.dtype == torch.uint8 and len(shapes.unique()) >= 4
    pairs = ShapePairs((24, 20, 16), length=3, labels=6)
    item, again = pairs[1], pairs[1]
    assert all(torch.equal(item[key], again[key]) for key in item)
    assert item["image"].shape == (2, 24, 20, 16) and len(pairs) == 3
    overlap = (item["moving_label"] == item["fixed_label"]).float().mean()
    assert 0.3 < overlap < 1.0
    with pytest.raises(InputError, match="1 to 255 labels"):
        random_shapes((8, 8, 8), generator(), labels=0)

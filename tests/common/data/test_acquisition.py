"""Defects of acquired scans: each changes what it should and leaves the anatomy where it is."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from common.data.acquisition import acquired, around, poorly_stripped, resampled, shaded, with_remnants


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def inside() -> Tensor:
    axes = torch.stack(torch.meshgrid(*[torch.arange(32.0) - 15.5] * 3, indexing="ij"))
    return (axes.square().sum(0).sqrt() < 10)[None]


@pytest.fixture
def image(inside: Tensor) -> Tensor:
    return inside * (0.5 + 0.1 * torch.rand(inside.shape, generator=generator(7)))


@pytest.mark.parametrize("defect", [shaded, resampled, lambda i, g: acquired(i, i > 0, g)])
def test_a_seed_decides_a_defect(image: Tensor, defect: Callable) -> None:
    first, again, other = (defect(image, generator(seed)) for seed in (1, 1, 2))
    assert first.shape == image.shape and torch.equal(first, again) and not torch.equal(first, other)


def test_shading_is_smooth_and_leaves_black_black(image: Tensor, inside: Tensor) -> None:
    changes = []
    for seed in range(20):
        ratio = shaded(image, generator(seed), 0.35)[inside] / image[inside]
        changes.append(float(ratio.log().std()))
        assert not shaded(image, generator(seed))[~inside].any()
    assert max(changes) > 0.1 and min(changes) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_resampling_blurs_and_moves_nothing(seed: int) -> None:
    """Its weights along an axis add up to 1 and are the same on both sides: sum, mean and line are kept."""
    point = torch.zeros(1, 9, 9, 9)
    point[0, 4, 4, 4] = 1.0
    seen = resampled(point, generator(seed))
    assert float(seen.sum()) == pytest.approx(1.0, abs=1e-6)
    assert torch.allclose(seen, seen.flip(1, 2, 3)) and 0.1 < float(seen.max()) < 1.0
    line = torch.arange(9.0).view(1, 9, 1, 1).expand(1, 9, 9, 9)
    assert torch.allclose(resampled(line, generator(seed))[:, 1:-1], line[:, 1:-1], atol=1e-6)


def test_a_strip_wanders_to_both_sides_of_the_border_and_no_further(image: Tensor, inside: Tensor) -> None:
    wider, narrower = 0, 0
    for seed in range(20):
        seen = poorly_stripped(image, inside, generator(seed))
        kept = seen > 0
        wider += bool((kept & ~inside).any())
        narrower += bool((inside & ~kept).any())
        near = around(inside)
        assert kept[near > 0.98].all() and not kept[near < 0.02].any()
        assert torch.equal(seen[inside & kept], image[inside & kept])
    assert wider >= 5 and narrower >= 5


def test_what_surrounds_the_brain_goes_on_where_a_strip_was_too_narrow(image: Tensor, inside: Tensor) -> None:
    bright = torch.where(inside, image, 0.8)
    seen = next(
        strip for seed in range(20) if (strip := poorly_stripped(bright, inside, generator(seed)))[inside].max() > 0.7
    )
    taken = inside & (seen != bright)
    assert taken.any() and torch.all(seen[taken] == 0.8)


def test_remnants_lie_outside_of_the_brain_over_a_part_of_it(image: Tensor, inside: Tensor) -> None:
    added = []
    for seed in range(20):
        seen = with_remnants(image, inside, generator(seed))
        assert torch.equal(seen[inside], image[inside])
        added.append(int((seen[~inside] > 0).sum()))
    assert max(added) > 50 and max(added) < int((~inside).sum()) / 3


def test_all_defects_together_stay_in_range(image: Tensor, inside: Tensor) -> None:
    for seed in range(20):
        seen = acquired(image, inside, generator(seed))
        assert seen.shape == image.shape and torch.isfinite(seen).all()
        assert float(seen.min()) == 0.0 and float(seen.max()) == pytest.approx(1.0)
        centre = torch.stack(torch.meshgrid(*[torch.arange(32.0) - 15.5] * 3, indexing="ij"))
        mass = (centre * seen).flatten(1).sum(1) / seen.sum()
        assert mass.abs().max() < 4  # a cut field shifts it, no defect moves the anatomy

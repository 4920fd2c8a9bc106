"""Structures that somebody else knows: they help where two contrasts say little, and nothing depends on them."""

import pytest
import torch
from torch.nn import functional as F

from common.refine import Options, Pair, Structures, refine
from common.refine.levels import boxed, with_structures
from tests.common.refine.phantom import pair_of
from tests.common.refine.test_refine import overlap

VALUES = (0.0, 0.4, 0.9, 0.6)


def known(label, factor=2):
    """The structures of a label map as block means, found by the image's own sum."""
    maps = torch.cat([(label == k).float() for k in (1, 2, 3)], dim=1)
    return Structures(F.avg_pool3d(maps, factor), factor, "from the phantom")


@pytest.fixture(scope="module")
def pair():
    return pair_of(values=VALUES)


def teller(pair, factor=2):
    moving, _, label, fixed_label, _ = pair
    return lambda image: known(label if torch.equal(image, moving) else fixed_label, factor)


@pytest.mark.parametrize("factor", [1, 2])
def test_they_bring_two_contrasts_closer(pair, factor):
    moving, fixed, label, fixed_label, _ = pair
    alone = refine(Pair(moving, fixed))
    helped = refine(Pair(moving, fixed), describe=teller(pair, factor))
    assert overlap(helped.ddf, label, fixed_label) > overlap(alone.ddf, label, fixed_label)
    assert helped.record.smallest_determinant > 0
    assert [level.stage for level in helped.record.levels][:2] == [
        "structures at 4 voxels",
        "MIND-SSC and structures at 2 voxels",
    ]
    assert helped.record.reasons[1] == "structures: moving from the phantom; fixed from the phantom"


def test_where_they_cannot_be_told_mind_goes_on_alone(pair):
    moving, fixed = pair[:2]
    alone = refine(Pair(moving, fixed), options=Options("fast"))
    asked = refine(Pair(moving, fixed), options=Options("fast"), describe=lambda image: None)
    assert torch.equal(alone.ddf, asked.ddf)
    assert asked.record.reasons[1] == "structures: not told in both images, MIND-SSC takes their place"


def test_with_one_contrast_or_a_similarity_asked_for_nobody_is_asked(pair):
    def never(image):
        raise AssertionError("asked")

    moving, fixed = pair_of()[:2]
    refine(Pair(moving, fixed), options=Options("fast"), describe=never)
    refine(Pair(*pair[:2]), options=Options("fast", similarity="mind"), describe=never)


def test_a_networks_field_has_no_half_say_where_structures_are_known(pair):
    moving, fixed = pair[:2]
    alone = refine(Pair(moving, fixed), options=Options("fast"))
    refined = refine(Pair(moving, fixed), 0.8 * alone.ddf, Options("fast"), describe=teller(pair))
    assert refined.record.start == "affine"
    assert "gets 0 % of the say" in refined.record.reasons[-1]


def test_exchanging_the_images_gives_the_inverse_with_them_too(pair):
    moving, fixed = pair[:2]
    options = Options("fast", symmetric=True)
    there = refine(Pair(moving, fixed), options=options, describe=teller(pair), inverse=True)
    back = refine(Pair(fixed, moving), options=options, describe=teller(pair))
    assert float((there.inverse - back.ddf).abs().mean()) < 0.05


def test_they_lie_where_the_image_lies_in_the_box(pair):
    moving, fixed, label, fixed_label, _ = pair
    work = with_structures(boxed(Pair(moving, fixed)), known(label), known(fixed_label))
    assert all(first % 2 == 0 for first in work.box.first)
    cut = work.box.cut(torch.cat([(fixed_label == k).float() for k in (1, 2, 3)], dim=1))
    torch.testing.assert_close(work.structures[1], F.avg_pool3d(cut, 2))


def test_what_a_mask_leaves_out_is_not_shown_to_who_tells(pair):
    """The place of a lesion is filled from around it before anybody looks."""
    moving, fixed = (image.clone() for image in pair[:2])
    mask = torch.ones_like(fixed)
    mask[..., 20:26, 18:24, 20:26] = 0
    fixed[mask == 0] = 5.0
    seen = []

    def tell(image):
        seen.append(float(image.max()))

    refine(Pair(moving, fixed, fixed_mask=mask), options=Options("fast"), describe=tell)
    assert len(seen) == 2 and max(seen) < 1.5

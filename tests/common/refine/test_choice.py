"""One contrast or two."""

import pytest
import torch

from common.refine.choice import contrasts_of, falling_share
from tests.common.refine.phantom import image, labels

SHAPE = (64, 64, 64)


@pytest.mark.parametrize(
    ("values", "contrasts"),
    [
        ((0.0, 0.35, 0.65, 0.95), 1),
        ((0.0, 0.5, 0.8, 0.9), 1),
        ((0.0, 0.95, 0.65, 0.35), 2),
        ((0.0, 0.3, 0.9, 0.5), 2),
    ],
)
def test_contrasts(values, contrasts):
    label = labels(SHAPE)
    found, reason = contrasts_of(image(label), image(label, values), label > 0)
    assert found == contrasts
    assert reason.startswith("one contrast" if contrasts == 1 else "two contrasts")


def test_share_at_its_ends_and_without_voxels():
    label = labels(SHAPE)
    inside = label > 0
    assert falling_share(image(label), image(label), inside) == 0
    assert falling_share(image(label), 1 - image(label), inside) == 1
    assert falling_share(image(label), image(label), torch.zeros_like(inside)) == 0

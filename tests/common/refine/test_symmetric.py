"""A symmetric run treats both images alike."""

import pytest
import torch

from common.errors import InputError
from common.refine import Options, Pair, refine
from common.refine.compiled_descent import CompiledDescent
from common.refine.descent import PlainDescent
from common.refine.symmetric import SymmetricDescent, mirrored
from common.spatial import compose
from tests.common.refine.phantom import SHAPE, level, pair_of
from tests.common.refine.test_refine import overlap


@pytest.mark.parametrize("values", [(0.0, 0.35, 0.65, 0.95), (0.0, 0.4, 0.9, 0.6)])
def test_exchanging_the_images_gives_the_inverse(values):
    moving, fixed, label, fixed_label, _ = pair_of(values)
    options = Options("fast", symmetric=True)
    there, back = (refine(pair, options=options) for pair in (Pair(moving, fixed), Pair(fixed, moving)))
    loop = compose(there.ddf, back.ddf, padding="border").norm(dim=1)
    assert float(there.ddf.norm(dim=1).max()) > 1
    assert float(loop.flatten().quantile(0.999)) < 0.1 and float(loop.max()) < 0.2
    assert there.record.smallest_determinant > 0 and back.record.smallest_determinant > 0
    assert overlap(there.ddf, label, fixed_label) > 0.88
    assert overlap(back.ddf, fixed_label, label) > 0.88


@pytest.mark.parametrize("case", [{}, {"exact": True}, {"channels": 2}, {"masked": True}, {"kind": "features"}])
def test_kernels_equal_the_plain_moves_in_double_precision(case):
    results = []
    for kind, dtype in ((CompiledDescent, torch.float32), (PlainDescent, torch.float64)):
        one = level(**case, dtype=dtype)
        descent = SymmetricDescent(kind(one), kind(mirrored(one, -one.field)))
        for _ in range(3):
            descent.force()
            descent.propose(0.4 / descent.rms(), 0.5)
            descent.accept()
        results.append(descent.field().double())
    torch.testing.assert_close(*results, rtol=0, atol=5e-4)


def test_a_mask_of_one_image_keeps_the_symmetry():
    moving, fixed, *_ = pair_of()
    mask = torch.ones(1, 1, *SHAPE)
    mask[..., 16:26, 14:24, 16:26] = 0
    options = Options("fast", symmetric=True)
    there = refine(Pair(moving, fixed, moving_mask=mask), options=options).ddf
    back = refine(Pair(fixed, moving, fixed_mask=mask), options=options).ddf
    loop = compose(there, back, padding="border").norm(dim=1)
    assert float(loop.mean()) < 0.005 and float(loop.max()) < 0.2, "the mask's edge leaves kinks between voxels"


def test_what_a_symmetric_run_cannot_take():
    image, points = torch.zeros(1, 1, 8, 8, 8), torch.zeros(1, 3)
    with pytest.raises(InputError, match="refine_symmetric: expected no landmarks and a start from the alignment"):
        refine(Pair(image, image, moving_points=points, fixed_points=points), options=Options(symmetric=True))
    with pytest.raises(InputError, match="refine_symmetric"):
        refine(Pair(image, image), options=Options(symmetric=True, start="network"))

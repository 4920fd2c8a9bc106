"""MIND-SSC and what it does not depend on."""

import torch

from common.refine.mind import PAIRS, mind
from common.refine.similarity import FeatureDistance
from tests.common.refine.phantom import volumes

SHAPE = (9, 10, 11)


def test_twelve_pairs_at_right_angles():
    assert len(PAIRS) == 12
    assert all(sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) == 2 for a, b in PAIRS)


def test_values():
    descriptor = mind(volumes(SHAPE, 1, 0))
    assert descriptor.shape == (1, 12, *SHAPE)
    assert float(descriptor.min()) >= 0
    torch.testing.assert_close(descriptor.amax(1), torch.ones(1, *SHAPE))


def test_does_not_depend_on_the_contrasts_sign_or_strength():
    image = volumes(SHAPE, 1, 0).double()
    torch.testing.assert_close(mind(image), mind(0.2 - 0.5 * image), rtol=1e-6, atol=1e-9)


def test_one_channel_by_its_definition():
    """The first pair's patches around one voxel, and the local mean over all pairs."""
    image = volumes(SHAPE, 1, 3).double()
    x, y, z = 4, 5, 5
    distances = []
    for a, b in PAIRS:
        first, second = (
            image[0, 0, x + 2 * o[0] - 1 : x + 2 * o[0] + 2, y + 2 * o[1] - 1 : y + 2 * o[1] + 2,
                  z + 2 * o[2] - 1 : z + 2 * o[2] + 2] for o in (a, b)
        )  # fmt: skip
        distances.append(((first - second) ** 2).sum())
    distance = torch.stack(distances)
    distance = distance - distance.min()
    torch.testing.assert_close(mind(image)[0, :, x, y, z], torch.exp(-distance / distance.mean()), rtol=1e-6, atol=1e-9)


def test_force_is_the_derivative_of_half_the_squares():
    """Moving the features by a constant field changes the sum of squares as the force says, up to the grid's error."""
    from common.spatial import warp

    moving, fixed = (volumes((20, 20, 20), 3, seed).double() for seed in (0, 1))
    weight = torch.zeros(1, 1, 20, 20, 20).double()
    weight[..., 6:14, 6:14, 6:14] = 1
    similarity = FeatureDistance(fixed, weight)
    force, _ = similarity.force(moving)
    for axis in range(3):
        values = []
        for step in (-0.5, 0.5):
            field = torch.zeros(1, 3, 20, 20, 20).double()
            field[:, axis] = 2 * step
            values.append(similarity.force(warp(moving, field))[1] * similarity.number)
        central = (values[1] - values[0]) / 2 / 2
        second = central_terms(moving, weight, axis)
        assert abs(float(force[0, axis].sum()) - float(central) - second) < 0.02 * float(force[0, axis].abs().sum())


def central_terms(moving, weight, axis):
    """What the difference of squares at -1 and 1 has besides (F - W) grad W: W's own odd part."""
    ahead, behind = (torch.roll(moving, s, dims=axis + 2) for s in (-1, 1))
    return float((weight * ((ahead**2 - behind**2) / 4 - moving * (ahead - behind) / 2)).sum())

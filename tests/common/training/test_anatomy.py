"""Samples of the anatomy network and its loss."""

import torch

from common.anatomy import STRUCTURES
from common.training.anatomy import AnatomySamples, anatomy_loss
from common.training.volumes import Subject

SHAPE = (24, 28, 20)


def subject():
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    radius = sum(axis**2 for axis in axes).sqrt()
    label = (radius < 0.7).long() + (radius < 0.4).long()
    image = ((radius < 0.8) * (40 + 80 * label)).to(torch.uint8)
    return Subject("ball", {"t1": image, "ct": 255 - image}, label.to(torch.uint8))


def test_samples_depend_on_the_seed_alone_and_keep_image_and_channels_together():
    samples = AnatomySamples([subject()], [0, 3, 2])
    for seed in range(12):
        image, channels = samples.draw(torch.Generator().manual_seed(seed))
        again, _ = samples.draw(torch.Generator().manual_seed(seed))
        assert torch.equal(image, again)
        assert image.shape == (1, *SHAPE) and channels.shape == SHAPE
        assert set(channels.unique().tolist()) <= {0, 1, 2} and float(image.min()) >= 0 and float(image.max()) <= 1.5
    assert len({int(samples.draw(torch.Generator().manual_seed(seed))[1].sum()) for seed in range(4)}) == 4


def test_the_loss_is_least_for_the_truth():
    channels = torch.randint(0, 3, SHAPE)
    scores = torch.zeros(1, len(STRUCTURES) + 1, *SHAPE)
    right = scores.scatter(1, channels[None, None], 20.0)
    assert float(anatomy_loss(right, channels)) < 0.01
    assert float(anatomy_loss(scores, channels)) > 2.5

"""A small head for the refinement's tests: nested tissues in a ball on a black background, and a smooth field."""

import torch
from torch.nn import functional as F

from common.refine.descent import Level
from common.refine.similarity import FeatureDistance, LocalCorrelation, Part
from common.refine.smoothing import short_gaussian
from common.spatial import warp
from tests.conftest import smooth_ddf

SHAPE = (48, 40, 44)


def labels(shape=SHAPE, seed=0):
    """(1, 1, X, Y, Z): 0 outside of a ball, 1 to 3 inside in smooth random regions."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 1, *[n // 6 + 1 for n in shape], generator=generator)
    texture = F.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.5
    return ((texture > -0.35).long() + (texture > 0.35).long() + 1) * inside


def image(label, values=(0.0, 0.35, 0.65, 0.95)):
    """Intensities of the labels, slightly blurred."""
    painted = torch.tensor(values)[label]
    return F.avg_pool3d(F.pad(painted, [1] * 6, mode="replicate"), 3, stride=1)


def truth(shape=SHAPE, amplitude=3.5):
    """A field that the fixed image is made with."""
    return smooth_ddf(shape, amplitude, seed=4)


def pair_of(values=(0.0, 0.35, 0.65, 0.95), shape=SHAPE):
    """Moving and fixed image, moving and fixed label, and the field that leads from one to the other."""
    label, ddf = labels(shape), truth(shape)
    fixed_label = warp(label.float(), ddf, mode="nearest").long()
    return image(label), image(fixed_label, values), label, fixed_label, ddf


def volumes(shape, channels, seed):
    """Smooth random images (1, C, X, Y, Z) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, channels, *[n // 4 + 1 for n in shape], generator=generator)
    smooth = F.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


def level(
    shape=(25, 22, 27), kind="correlation", exact=False, channels=1, masked=False, radius=2, parts=1, sigma=0.7,
    dtype=torch.float32,
):  # fmt: skip
    """A level of random images whose weights fall to zero at the faces."""
    weight, centres = torch.zeros(1, 1, *shape), torch.zeros(1, 1, *shape)
    weight[..., 1:-1, 1:-1, 1:-1], weight[..., 3:-3, 3:-3, 3:-3] = 0.5, 1
    centres[..., 6:-6, 6:-6, 6:-6] = 1
    mask = None
    if masked:
        mask = torch.ones(1, 1, *shape, dtype=dtype)
        mask[..., 8:12, 8:12, 9:15] = 0
    made = []
    for part in range(parts):
        moving, fixed = (volumes(shape, channels, seed).to(dtype) for seed in (2 * part, 2 * part + 1))
        if kind == "features":
            similarity = FeatureDistance(fixed, centres.to(dtype))
        else:
            similarity = LocalCorrelation(fixed, centres, mask, radius, 1e-3, exact)
        made.append(Part(moving, similarity, 1.0 + part))
    field = smooth_ddf(shape, 0.8, seed=7)
    weight = weight.to(dtype)
    return Level(made, field.to(dtype), weight, weight, short_gaussian(sigma), short_gaussian(0.7))

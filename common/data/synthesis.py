"""Images of arbitrary contrast from label maps: SynthMorph's and SynthSeg's generative model, in torch, on any device.

Sources: Hoffmann et al., "SynthMorph: learning contrast-invariant registration without acquired images", IEEE TMI 2021;
Billot et al., "SynthSeg", MedIA 2023. A label map gets an intensity for each structure, then blur (partial volume),
a bias field, gamma, noise, an optional loss of resolution and an optional crop of the field of view.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from common.data.augment import chance, smooth_noise, uniform
from common.data.contrasts import CONTRASTS, tissue_of
from common.errors import InputError


def gaussian_blur(image: Tensor, sigma: float | Sequence[float]) -> Tensor:
    """Blur (C, X, Y, Z) by Gaussians of ``sigma`` voxels (one number or one an axis), border values repeated."""
    sigmas = [float(sigma)] * 3 if isinstance(sigma, int | float) else [float(s) for s in sigma]
    for axis, s in enumerate(sigmas):
        if s <= 0.05:
            continue
        radius = max(1, round(3 * s))
        offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
        weights = torch.exp(-0.5 * (offsets / s) ** 2)
        weights = weights / weights.sum()
        padding = [0] * 6
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = radius
        padded = F.pad(image[None], padding, mode="replicate")[0]
        size = image.shape[axis + 1]
        image = sum(w * padded.narrow(axis + 1, i, size) for i, w in enumerate(weights.tolist()))  # type: ignore[assignment]
    return image


def random_table(count: int, generator: torch.Generator, background: float = 0.5) -> tuple[Tensor, Tensor]:
    """Draw mean and spread of the intensity of ``count`` labels; label 0 is black with probability ``background``."""
    means = torch.rand(count, generator=generator, device=generator.device) * 0.9 + 0.1
    spreads = torch.rand(count, generator=generator, device=generator.device) * 0.06
    if chance(generator, background):
        means[0], spreads[0] = 0.0, 0.0
    return means, spreads


def tissue_table(
    identifiers: Sequence[int],
    contrast: Mapping[str, tuple[float, float]],
    generator: torch.Generator,
    variation: float = 0.03,
) -> tuple[Tensor, Tensor]:
    """Draw mean and spread for labels whose FreeSurfer numbers are known, around the contrast's mean of each tissue.

    Args:
        identifiers: FreeSurfer number of each label value, 0 for background.
        contrast: tissue name -> (mean, spread within the structure), both in [0, 1].
        generator: source of randomness.
        variation: standard deviation between subjects.
    """
    rows = [contrast[tissue_of(number)] for number in identifiers]
    means = torch.tensor([mean for mean, _ in rows], device=generator.device)
    spreads = torch.tensor([spread for _, spread in rows], device=generator.device)
    shift = torch.randn(len(rows), generator=generator, device=generator.device) * variation
    return means + shift * (means > 0), spreads


def paint(label: Tensor, means: Tensor, spreads: Tensor, generator: torch.Generator) -> Tensor:
    """Give each voxel of an index map (X, Y, Z) its label's mean plus noise of its label's spread: (1, X, Y, Z)."""
    index = label.long()
    noise = torch.randn(label.shape, generator=generator, device=label.device)
    return (means[index] + spreads[index] * noise)[None]


def rescale(image: Tensor) -> Tensor:
    """Bring an image to [0, 1] by its least and greatest value; a constant image becomes zero."""
    low, high = image.amin(), image.amax()
    return (image - low) / (high - low).clamp_min(1e-6)


def corrupt(
    image: Tensor,
    generator: torch.Generator,
    blur: float = 1.0,
    bias: float = 0.3,
    gamma: float = 0.4,
    noise: float = 0.04,
    low_resolution: float = 0.2,
    crop: float = 0.0,
) -> Tensor:
    """Degrade an image (1, X, Y, Z) as a scanner would and return it in [0, 1].

    Args:
        image: any range.
        generator: source of randomness.
        blur: greatest standard deviation of the partial-volume blur in voxels.
        bias: greatest standard deviation of the logarithm of the multiplicative bias field.
        gamma: greatest absolute logarithm of the exponent.
        noise: greatest standard deviation of the additive noise.
        low_resolution: probability of thick slices along one axis (two to four voxels).
        crop: probability of losing up to a fifth of the field of view at one end of one axis.
    """
    shape = image.shape[1:]
    image = gaussian_blur(image, uniform(generator, 0.0, blur))
    knots = [2 + int(uniform(generator, 0, 3)) for _ in range(3)]
    image = image * torch.exp(uniform(generator, 0.0, bias) * smooth_noise(shape, knots, 1, generator)[0])
    if chance(generator, low_resolution):
        image = thick_slices(image, generator)
    image = image + uniform(generator, 0.0, noise) * torch.randn(image.shape, generator=generator, device=image.device)
    image = rescale(image) ** float(torch.exp(torch.tensor(uniform(generator, -gamma, gamma))))
    return crop_field_of_view(image, generator) if chance(generator, crop) else image


def thick_slices(image: Tensor, generator: torch.Generator) -> Tensor:
    """Average 2 to 4 voxels along one random axis and interpolate back."""
    axis, factor = int(uniform(generator, 0, 3)), 2 + int(uniform(generator, 0, 3))
    low = list(image.shape[1:])
    low[axis] = max(2, low[axis] // factor)
    coarse = F.interpolate(image[None], size=low, mode="area")
    return F.interpolate(coarse, size=list(image.shape[1:]), mode="trilinear", align_corners=False)[0]


def crop_field_of_view(image: Tensor, generator: torch.Generator) -> Tensor:
    """Blank up to a fifth of the volume at one end of one random axis."""
    axis = 1 + int(uniform(generator, 0, 3))
    size = image.shape[axis]
    width = int(uniform(generator, 0.0, 0.2) * size)
    kept = torch.ones(size, dtype=image.dtype, device=image.device)
    if width:
        kept[slice(0, width) if chance(generator, 0.5) else slice(size - width, size)] = 0
    view = [1, 1, 1, 1]
    view[axis] = size
    return image * kept.view(view)


def render(
    label: Tensor,
    contrast: str,
    generator: torch.Generator,
    identifiers: Sequence[int] | None = None,
    **corruption: float,
) -> Tensor:
    """Render one image from a label map.

    Args:
        label: (X, Y, Z) integers, 0 is background.
        contrast: ``random`` (any intensity for any structure), or one of ``CONTRASTS``.
        generator: source of randomness on the label's device.
        identifiers: FreeSurfer number of each label value; all contrasts but ``random`` need it.
        corruption: options of ``corrupt``.

    Returns:
        (1, X, Y, Z) in [0, 1].

    Raises:
        InputError: another contrast, or a label whose tissue is not known.
    """
    if contrast == "random":
        means, spreads = random_table(int(label.max()) + 1, generator)
    elif contrast in CONTRASTS:
        means, spreads = tissue_table(_identifiers_for(label, contrast, identifiers), CONTRASTS[contrast], generator)
    else:
        raise InputError(f"contrast: expected random, {', '.join(CONTRASTS)}, got {contrast!r}")
    return corrupt(paint(label, means, spreads, generator), generator, **corruption)


def _identifiers_for(label: Tensor, contrast: str, identifiers: Sequence[int] | None) -> Sequence[int]:
    known, largest = identifiers or (), int(label.max())
    if largest >= len(known):
        raise InputError(
            f"contrast {contrast!r} expects the FreeSurfer number of each label (the datalist's freesurfer_ids), "
            f"got {f'{len(known)} for labels up to {largest}' if known else 'none'}"
        )
    return known

"""What acquired scans have and renderings lack: a coil's shading, thick slices, resampling, a poor strip, a cut field.

Every function takes an image (1, X, Y, Z) and keeps the anatomy where it is, so that label maps and fields stay true.
Bias, thick slices and noise follow SynthSeg's model (Billot et al., MedIA 2023); brain masks that are too wide, too
narrow or hold remnants of the head are what skull-stripping tools leave.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from common.data.augment import chance, smooth_noise, uniform
from common.data.synthesis import crop_field_of_view, gaussian_blur, rescale, thick_slices

#: Knots of the noise that lets a mask's border wander, along each axis.
WANDERING = (7, 7, 7)


def acquired(image: Tensor, inside: Tensor, generator: torch.Generator) -> Tensor:
    """Show an image as a scanner and the tools behind it might have: each defect with a chance of its own.

    Args:
        image: (1, X, Y, Z) in [0, 1].
        inside: (1, X, Y, Z) bool, the brain.
        generator: source of randomness on the image's device.

    Returns:
        (1, X, Y, Z) in [0, 1] by its least and greatest value, as inference scales images.
    """
    if chance(generator, 0.7):
        image = shaded(image, generator)
    if chance(generator, 0.3):
        image = thick_slices(image, generator)
    if chance(generator, 0.7):
        noise = torch.randn(image.shape, generator=generator, device=image.device)
        image = image + uniform(generator, 0.0, 0.06) * noise * inside
    if chance(generator, 0.6):
        image = resampled(image, generator)
    if chance(generator, 0.6):
        image = poorly_stripped(image, inside, generator)
    if chance(generator, 0.3):
        image = with_remnants(image, inside, generator)
    if chance(generator, 0.2):
        image = crop_field_of_view(image, generator)
    return rescale(image)


def shaded(image: Tensor, generator: torch.Generator, strength: float = 0.35) -> Tensor:
    """Multiply by a smooth field, the logarithm of which has a standard deviation of up to ``strength``."""
    knots = [2 + int(uniform(generator, 0, 4)) for _ in range(3)]
    field = smooth_noise(image.shape[1:], knots, 1, generator)[0]
    return image * torch.exp(uniform(generator, 0.0, strength) * field)


def resampled(image: Tensor, generator: torch.Generator) -> Tensor:
    """Blur as linear interpolation does that moves an image by a part of a voxel, and back.

    Along each axis the way there weights neighbours by (1 - d, d) and the way back by (d, 1 - d): together by
    (d(1 - d), d^2 + (1 - d)^2, d(1 - d)), which moves nothing.
    """
    for axis in range(3):
        d = uniform(generator, 0.0, 0.5)
        side, padding = d * (1 - d), [0] * 6
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = 1
        padded = F.pad(image[None], padding, mode="replicate")[0]
        size = image.shape[axis + 1]
        before, here, after = (padded.narrow(axis + 1, place, size) for place in range(3))
        image = side * before + (1 - 2 * side) * here + side * after
    return image


def around(inside: Tensor, sigma: float = 2.0) -> Tensor:
    """How near a voxel is to the inside of a mask: 1 deep inside, 0.5 on its border, 0 far outside; (1, X, Y, Z)."""
    return gaussian_blur(inside.float(), sigma)


def poorly_stripped(image: Tensor, inside: Tensor, generator: torch.Generator) -> Tensor:
    """Strip along a border that wanders some two voxels into the brain or out of it; what is left there is of one grey.

    Args:
        image: (1, X, Y, Z); outside of the brain it is taken to have one value.
        inside: (1, X, Y, Z) bool, the brain.
        generator: source of randomness.
    """
    wandering = smooth_noise(image.shape[1:], WANDERING, 1, generator)[0]
    level = 0.5 + uniform(generator, -0.3, 0.3) + uniform(generator, 0.0, 0.15) * wandering
    kept = around(inside) > level.clamp(0.02, 0.98)
    rim = uniform(generator, 0.05, 1.0) * _texture(image, generator)
    return torch.where(kept, torch.where(inside, image, rim), _background(image, inside))


def with_remnants(image: Tensor, inside: Tensor, generator: torch.Generator) -> Tensor:
    """Add pieces of the head outside of the brain: thin shells at a distance, over a part of the surface."""
    near = around(inside, 3.0)
    outer = uniform(generator, 0.01, 0.1)
    shell = (near > outer) & (near < outer + uniform(generator, 0.05, 0.25)) & ~inside
    some = smooth_noise(image.shape[1:], (4, 4, 4), 1, generator)[0] > uniform(generator, 0.0, 1.0)
    grey = uniform(generator, 0.2, 1.2) * _texture(image, generator)
    return torch.where(shell & some, grey, image)


def _texture(image: Tensor, generator: torch.Generator) -> Tensor:
    """Noise around 1 for what is no brain: (1, X, Y, Z)."""
    noise = torch.randn(image.shape, generator=generator, device=image.device)
    return (1 + uniform(generator, 0.0, 0.3) * noise).clamp_min(0)


def _background(image: Tensor, inside: Tensor) -> Tensor:
    """The value that surrounds the brain: a scalar."""
    outside = image[~inside]
    return outside.median() if len(outside) else image.new_zeros(())

"""The pair in its box, and the levels that a recipe's stages ask for."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from common.refine.conditional import conditional_mean, remap
from common.refine.correlation import box_sum
from common.refine.descent import Level
from common.refine.landmarks import SPREAD, Landmarks
from common.refine.mind import mind
from common.refine.options import Stage
from common.refine.pair import Pair, scaled, without
from common.refine.region import Box, box_around, foreground, nearness
from common.refine.similarity import FeatureDistance, LocalCorrelation, Part
from common.refine.smoothing import short_gaussian
from common.refine.structures import FACTORS, Structures
from common.spatial import resize_ddf, warp

#: Voxels around both foregrounds within which the field falls off to its start, and where the falling begins.
MARGIN, INNER = 14, 2
#: The box's sides are multiples of it, so that every level has whole voxels.
MULTIPLE = 8
#: Feature channels that the kernels take at once; labels in groups of so many.
CHANNELS = 16
#: Weight of the labels' force beside the images', both brought to one length.
LABEL_WEIGHT = 1.0


@dataclass(frozen=True)
class Boxed:
    """A pair cut to the box around both foregrounds, intensities scaled.

    Attributes:
        box: where it lies in the grid.
        pair: the images and what comes with them, points in voxels of the box.
        inside: (1, 1, X, Y, Z) float, the fixed image's foreground; of both images in a symmetric run.
        taper: (1, 1, X, Y, Z), 1 near both foregrounds, 0 towards the faces.
        structures: those of the moving and of the fixed image, (1, K, x, y, z) each; see ``Structures``.
    """

    box: Box
    pair: Pair
    inside: Tensor
    taper: Tensor
    structures: tuple[Tensor, Tensor] | None = None

    _descriptors: dict[int, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the box."""
        return self.box.size

    def descriptors(self, factor: int) -> list[tuple[Tensor, Tensor]]:
        """MIND of each channel of the moving and the fixed image, on the finest grid; block means of it, made once."""
        if factor not in self._descriptors:
            channels = zip(self.pair.moving.split(1, dim=1), self.pair.fixed.split(1, dim=1), strict=True)
            self._descriptors[factor] = [(pooled(mind(m), factor), pooled(mind(f), factor)) for m, f in channels]
        return self._descriptors[factor]


def boxed(pair: Pair, symmetric: bool = False) -> Boxed:
    """Cut a pair to its box; what its masks leave out gets the values around it."""
    pair = replace(pair, moving=without(pair.moving, pair.moving_mask), fixed=without(pair.fixed, pair.fixed_mask))
    fixed_inside, moving_inside = foreground(pair.fixed), foreground(pair.moving)
    both = fixed_inside | moving_inside
    box = box_around(both, MARGIN, MULTIPLE, max(FACTORS))

    def cut(volume: Tensor | None) -> Tensor | None:
        return None if volume is None else box.cut(volume)

    def shift(points: Tensor | None) -> Tensor | None:
        return None if points is None else points - torch.tensor(box.first).to(points)

    moving, fixed = scaled(pair.moving, moving_inside), scaled(pair.fixed, fixed_inside)
    part = Pair(
        box.cut(moving), box.cut(fixed), cut(pair.moving_mask), cut(pair.fixed_mask), cut(pair.moving_label),
        cut(pair.fixed_label), shift(pair.moving_points), shift(pair.fixed_points),
    )  # fmt: skip
    inside = both if symmetric else fixed_inside
    return Boxed(box, part, box.cut(inside.float()), nearness(box.cut(both.float()), INNER, MARGIN))


def with_structures(work: Boxed, moving: Structures, fixed: Structures) -> Boxed:
    """Return the pair with the structures that both images show."""
    part = work.box.coarser(fixed.factor)
    return replace(work, structures=(part.cut(moving.maps), part.cut(fixed.maps)))


def pooled(volume: Tensor, factor: int) -> Tensor:
    """Block means."""
    return F.avg_pool3d(volume, factor) if factor > 1 else volume


def coarse_field(field: Tensor, factor: int) -> Tensor:
    """A field on a grid ``factor`` times as coarse, in its voxels."""
    return pooled(field, factor) / factor


def fields_at(stage: Stage, start: Tensor, change: Tensor | None) -> Tensor:
    """Return the fields with which a stage begins, (B, 3, x, y, z).

    Args:
        stage: of the recipe.
        start: (B, 3, X, Y, Z) on the box's grid, at the very start.
        change: (B, 3, x', y', z'), what the level before has added to it on its own grid; ``None`` at the first.
    """
    field = coarse_field(start, stage.factor)
    if change is None:
        return field
    x, y, z = field.shape[2:]
    return field + resize_ddf(change, (x, y, z))


def level_of(work: Boxed, stage: Stage, field: Tensor, to_fixed: Tensor | None = None) -> Level:
    """Build the level of a stage.

    Args:
        work: the pair.
        stage: of the recipe.
        field: (1, 3, x, y, z), with which it begins.
        to_fixed: (1, 3, x, y, z) in a symmetric run, from the middle to the fixed image; ``field`` then leads to the
            moving one. Without it the fixed image stays where it is.
    """
    taper = pooled(work.taper, stage.factor) * _off_the_faces(field)
    return Level(
        [*_parts(work, stage, field, to_fixed), *_label_parts(work, stage)],
        field,
        taper,
        taper,
        short_gaussian(stage.force_sigma),
        short_gaussian(stage.field_sigma),
        landmarks_of(work, stage.factor),
    )


def _off_the_faces(field: Tensor) -> Tensor:
    inside = torch.zeros_like(field[:, :1])
    inside[..., 1:-1, 1:-1, 1:-1] = 1
    return inside


def counted(work: Boxed, stage: Stage, field: Tensor, to_fixed: Tensor | None) -> Tensor | None:
    """Where both images say something under the present fields, (1, 1, x, y, z); ``None`` for everywhere."""
    masks = []
    for mask, leading in ((work.pair.fixed_mask, to_fixed), (work.pair.moving_mask, field)):
        if mask is not None:
            masks.append(_moved(pooled((mask != 0).to(field), stage.factor), leading) >= 0.5)
    if not masks:
        return None
    return torch.stack(masks).all(0).to(field)


def _moved(volumes: Tensor, field: Tensor | None) -> Tensor:
    return volumes if field is None else warp(volumes, field, padding="border")


def _parts(work: Boxed, stage: Stage, field: Tensor, to_fixed: Tensor | None) -> list[Part]:
    """What the stage compares, its own similarity first; nothing of the images where that is the structures'."""
    structures = _structure_parts(work, stage, counted(work, stage, field, to_fixed))
    if stage.similarity == "structures":
        return structures
    return [*_image_parts(work, stage, field, to_fixed), *structures]


def _structure_parts(work: Boxed, stage: Stage, mask: Tensor | None) -> list[Part]:
    """The probabilities of structures as feature channels, on levels that are no finer than they are."""
    if work.structures is None or not stage.structures:
        return []
    factor = work.shape[0] // work.structures[0].shape[2]
    if stage.factor % factor:
        return []
    moving, fixed = (pooled(maps, stage.factor // factor).contiguous() for maps in work.structures)
    weight = torch.ones_like(fixed[:, :1]) if mask is None else mask
    return [Part(moving, FeatureDistance(fixed, weight), stage.structures)]


def _image_parts(work: Boxed, stage: Stage, field: Tensor, to_fixed: Tensor | None) -> list[Part]:
    mask = counted(work, stage, field, to_fixed)
    inside = (pooled(work.inside, stage.factor) > 0.1).to(field)
    if stage.similarity == "mind":
        weight = (box_sum(inside, 1) > 0.5).to(field)
        weight = weight if mask is None else weight * mask
        return [Part(moving, FeatureDistance(fixed, weight)) for moving, fixed in work.descriptors(stage.factor)]
    moving, fixed = pooled(work.pair.moving, stage.factor), pooled(work.pair.fixed, stage.factor)
    images = [(moving, fixed)]
    if stage.similarity == "remapped":
        here, there = _moved(moving, field), _moved(fixed, to_fixed)
        weight = inside if mask is None else inside * mask
        images = [(_remapped(moving, here, there, weight), fixed)]
        if to_fixed is not None:  # neither contrast is the one to compare in
            images.append((moving, _remapped(fixed, there, here, weight)))
    parts = []
    for radius in stage.radii:
        centres = (box_sum(inside, radius) > 0.5).to(field)  # all windows that hold a voxel of the foreground
        for one, other in images:
            parts.append(Part(one, LocalCorrelation(other, centres, mask, radius, stage.epsilon, stage.exact)))
    return parts


def _remapped(image: Tensor, moved: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """Send an image's intensities to the other one's, as both show them where they have been moved to."""
    channels = []
    for own, here, there in zip(image.split(1, 1), moved.split(1, 1), other.split(1, 1), strict=True):
        channels.append(remap(own, conditional_mean(here, there, weight)))
    return torch.cat(channels, dim=1)


def _label_parts(work: Boxed, stage: Stage) -> list[Part]:
    """Structures as feature channels, on the coarse levels; on the finest they would take 64 bytes a voxel."""
    if work.pair.moving_label is None or work.pair.fixed_label is None or stage.factor == 1:
        return []
    names = sorted(set(work.pair.moving_label.unique().tolist()) & set(work.pair.fixed_label.unique().tolist()) - {0})
    parts = []
    for group in (names[i : i + CHANNELS] for i in range(0, len(names), CHANNELS)):
        moving, fixed = (
            torch.cat([pooled((label == name).float(), stage.factor) for name in group], dim=1)
            for label in (work.pair.moving_label, work.pair.fixed_label)
        )
        distance = FeatureDistance(fixed, torch.ones_like(fixed[:, :1]))
        parts.append(Part(moving, distance, LABEL_WEIGHT * len(group) / len(names)))
    return parts


def landmarks_of(work: Boxed, factor: int) -> Landmarks | None:
    """The pair's points on the grid of a level, ``None`` where it has none."""
    if work.pair.fixed_points is None or work.pair.moving_points is None:
        return None
    fixed, moving = (
        (points.double() + 0.5) / factor - 0.5 for points in (work.pair.fixed_points, work.pair.moving_points)
    )
    return Landmarks(fixed, moving, SPREAD / factor)

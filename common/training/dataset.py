"""Training pairs: two subjects, augmented, shown to the network in one contrast and to the loss in another."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from common.data.augment import chance, deform, random_deformation, random_field, smooth_noise, uniform
from common.data.synthesis import render
from common.errors import InputError
from common.training.volumes import Subject


class RegistrationPairs(Dataset):
    """Pairs drawn with replacement from subjects; item ``n`` is a pure function of ``(seed, n)``.

    The loss may look at a contrast that the network does not see (``target``), since images and labels of a subject
    are warped alike: this is what makes contrast-agnostic training converge.

    Args:
        data: subjects with their volumes in memory.
        contrasts: ``"moving-fixed"`` -> weight, each side a modality of the subjects, or ``random``, ``like_t1``,
            ``like_ct`` for images synthesised from the label map.
        target: modality that the loss compares, or ``seen`` for the images that the network gets.
        length: number of items (steps are counted on for ever by the sampler; this is one epoch).
        seed: of everything random.
        deformation: strength of the random deformation of each side in voxels, 0 for none.
        deformation_chance: share of the volumes that are deformed.
        flip: mirror both sides along the first axis in half of the pairs.
        intensity: strength of the gamma, bias and noise augmentation of seen images, 0 for none.
        same_person: share of the pairs whose two sides are one subject, the fixed side deformed by a strong random
            field. That field is then the answer, which no image tells inside of a homogeneous tissue; items gain
            ``true_ddf`` (3, X, Y, Z) in voxels and ``true_known`` (1 or 0).
        same_person_deformation: strength of that field in voxels of the coarse grid.
        crop: sides of a window, drawn at random for each pair, that the item holds instead of the whole grid: a step
            costs less, in proportion. ``None`` gives the whole grid.
        fine: the same subjects on a finer grid, or ``None``. An item of it holds whole volumes, deformed only in pairs
            of one person, and ``window`` and ``window_size``, corner and sides (3,) of the part that a step looks at;
            the trainer makes of it what the coarse pass leaves to do.
        fine_share: share of the items that are fine.
        fine_window: sides of the window; ``None`` takes the sides of the coarse grid.
        batch_size: this many items in a row are all fine or all coarse, so that they make one batch.
        identifiers: FreeSurfer number of each label value, for ``like_t1`` and ``like_ct``.
        device: where the volumes lie and samples are made.
    """

    def __init__(
        self,
        data: Sequence[Subject],
        contrasts: Mapping[str, float],
        target: str = "seen",
        length: int = 100,
        seed: int = 0,
        deformation: float = 0.0,
        deformation_chance: float = 0.6,
        flip: bool = False,
        intensity: float = 0.0,
        same_person: float = 0.0,
        same_person_deformation: float = 2.5,
        crop: Sequence[int] | None = None,
        fine: Sequence[Subject] | None = None,
        fine_share: float = 0.0,
        fine_window: Sequence[int] | None = None,
        batch_size: int = 1,
        identifiers: Sequence[int] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        if not data:
            raise InputError("training expects at least one subject, got none")
        self.device = torch.device(device)
        self.subjects = [self._place(subject) for subject in data]
        self.contrasts = [(name.split("-"), float(weight)) for name, weight in contrasts.items()]
        known = {*data[0].images, "random", "like_t1", "like_ct"}
        wrong = [side for sides, _ in self.contrasts for side in sides if side not in known]
        if wrong:
            raise InputError(f"contrasts expects sides among {sorted(known)}, got {wrong}")
        self.target, self.length, self.seed = target, length, seed
        self.deformation, self.deformation_chance, self.flip = deformation, deformation_chance, flip
        self.intensity, self.identifiers = intensity, identifiers
        self.same_person, self.same_person_deformation = same_person, same_person_deformation
        _check_window("crop", crop, data)
        self.crop = crop
        self.fine = [self._place(subject) for subject in fine or ()]
        self.fine_share, self.batch_size = fine_share if self.fine else 0.0, batch_size
        self.fine_window = list(fine_window or _shape(data[0]))
        _check_window("fine_window", self.fine_window, self.fine)

    def _place(self, subject: Subject) -> Subject:
        images = {key: image.to(self.device) for key, image in subject.images.items()}
        return Subject(subject.name, images, None if subject.label is None else subject.label.to(self.device))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator(self.device).manual_seed((self.seed * 1_000_003 + index) % (2**63))
        contrast = self._draw_contrast(generator)
        first, second = (int(uniform(generator, 0, len(self.subjects))) for _ in range(2))
        flip = self.flip and chance(generator, 0.5)
        fine = self.fine_share > 0 and self._is_fine(index)
        subjects = self.fine if fine else self.subjects
        fields: list[Tensor | None]
        if self.same_person > 0 and chance(generator, self.same_person):
            second = first
            fields = [None, self._strong_field(subjects[first], generator)]
        elif fine:
            fields = [None, None]
        else:
            fields = [self._random_field(subjects[number], generator) for number in (first, second)]
        sides = [
            self._transformed(subjects[number], flip, field)
            for number, field in zip((first, second), fields, strict=True)
        ]
        item = self._assembled(sides, contrast, generator)
        if self.same_person > 0:
            # moving is as it was and fixed(x) = moving(x + field(x)): the field is what the network has to find
            known = second == first and fields[0] is None and fields[1] is not None
            item["true_known"] = torch.tensor(float(known), device=self.device)
            zeros = torch.zeros(3, *_shape(subjects[second]), device=self.device)
            item["true_ddf"] = fields[1][0] if known and fields[1] is not None else zeros
        if fine:
            item["window"] = torch.tensor(_corner(_shape(subjects[first]), self.fine_window, generator))
            item["window_size"] = torch.tensor(self.fine_window)
        return self._cropped(item, generator) if self.crop and not fine else item

    def _is_fine(self, index: int) -> bool:
        # Another stream than the items' own: the first number of that one chooses the contrast.
        seed = 2**40 + self.seed * 1_000_003 + index // self.batch_size
        return chance(torch.Generator().manual_seed(seed), self.fine_share)

    def _assembled(
        self,
        sides: Sequence[tuple[dict[str, Tensor], Tensor | None]],
        contrast: Sequence[str],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """What the network sees and what the loss compares, of the images and labels of both sides."""
        item: dict[str, Tensor] = {}
        seen = []
        for side, modality, (images, label) in zip(("moving", "fixed"), contrast, sides, strict=True):
            shown = self._shown(images, label, modality, generator)
            seen.append(shown)
            item[side] = shown if self.target == "seen" else images[self.target]
            if label is not None:
                item[f"{side}_label"] = label[None]
        item["image"] = torch.cat(seen)
        return item

    def _cropped(self, item: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        assert self.crop is not None
        corner = _corner(item["image"].shape[1:], self.crop, generator)
        window = (slice(None), *(slice(i, i + n) for i, n in zip(corner, self.crop, strict=True)))
        return {key: value[window] if value.dim() == 4 else value for key, value in item.items()}

    def _draw_contrast(self, generator: torch.Generator) -> tuple[str, str]:
        mark = uniform(generator, 0.0, sum(weight for _, weight in self.contrasts))
        for (moving, fixed), weight in self.contrasts:
            mark -= weight
            if mark <= 0:
                return moving, fixed
        return moving, fixed

    def _random_field(self, subject: Subject, generator: torch.Generator) -> Tensor | None:
        if self.deformation <= 0 or not chance(generator, self.deformation_chance):
            return None
        return random_field(_shape(subject), generator, self.deformation)

    def _strong_field(self, subject: Subject, generator: torch.Generator) -> Tensor:
        finer = _shape(subject)[0] / _shape(self.subjects[0])[0]  # the same millimetres on either grid
        knots = [finer * spacing for spacing in (16.0, 32.0, 64.0)]
        return random_deformation(_shape(subject), finer * self.same_person_deformation, generator, knots)

    def _transformed(
        self, subject: Subject, flip: bool, field: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        names = list(subject.images)
        images = torch.stack([subject.images[name] for name in names])
        label = subject.label
        if flip:
            images = images.flip(1)
            label = None if label is None else label.flip(0)
        images = images.float() / 255.0
        if field is not None:
            spare = label if label is not None else torch.zeros_like(images[0], dtype=torch.uint8)
            images, moved_label = deform(images, spare, field)
            label = None if label is None else moved_label
        return {name: images[i : i + 1] for i, name in enumerate(names)}, label

    def _shown(
        self, images: Mapping[str, Tensor], label: Tensor | None, modality: str, generator: torch.Generator
    ) -> Tensor:
        if modality in images:
            return self._shaded(images[modality], generator)
        if label is None:
            raise InputError(f"the contrast {modality!r} is synthesised from label maps: every subject needs one")
        return render(label, modality.removeprefix("like_"), generator, self.identifiers)

    def _shaded(self, image: Tensor, generator: torch.Generator) -> Tensor:
        if self.intensity <= 0 or chance(generator, 0.25):
            return image
        gamma = 2.0 ** uniform(generator, -self.intensity, self.intensity)
        bias = torch.exp(0.3 * self.intensity * smooth_noise(image.shape[1:], (3, 3, 3), 1, generator)[0])
        noise = torch.randn(image.shape, generator=generator, device=image.device)
        noise = noise * uniform(generator, 0.0, 0.04 * self.intensity)
        return ((image.clamp_min(1e-6) ** gamma * bias + noise * (image > 0)) * uniform(generator, 0.85, 1.15)).clamp(
            0, 1
        )


def _shape(subject: Subject) -> tuple[int, ...]:
    return tuple(next(iter(subject.images.values())).shape)


def _check_window(name: str, window: Sequence[int] | None, data: Sequence[Subject]) -> None:
    if window and data and any(width > n for width, n in zip(window, _shape(data[0]), strict=True)):
        raise InputError(f"{name} expects a window inside of the grid {_shape(data[0])}, got {list(window)}")


def _corner(shape: Sequence[int], window: Sequence[int], generator: torch.Generator) -> list[int]:
    # The mean of two draws: windows lie more often in the middle, where most structures are.
    return [
        int((uniform(generator, 0, n - width + 1) + uniform(generator, 0, n - width + 1)) / 2)
        for n, width in zip(shape, window, strict=True)
    ]


class StepSampler(Sampler[int]):
    """Item numbers that go on from epoch to epoch, shared out over ranks: what makes resuming exact.

    In epoch ``e`` (set by ``set_epoch``) rank ``r`` of ``w`` gets ``e * length + r``, then every ``w``-th item; the
    union over the ranks is what one process would see.
    """

    def __init__(self, length: int, rank: int = 0, world: int = 1) -> None:
        if length % world:
            raise InputError(f"an epoch of {length} items cannot be shared evenly by {world} processes")
        self.length, self.rank, self.world, self.epoch = length, rank, world, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, counted from 0, that the next iteration serves."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.world

    def __iter__(self):
        first = self.epoch * self.length
        return iter(range(first + self.rank, first + self.length, self.world))

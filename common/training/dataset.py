"""Training pairs: two subjects, augmented, shown to the network in one contrast and to the loss in another."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import Dataset

from common.data.augment import deform
from common.errors import InputError
from common.switches import reads_switches
from common.training.augmentation import Augmentation, SamePerson
from common.training.fine import Fine
from common.training.pairing import check_pairing, paired
from common.training.teacher_fields import TeacherFields, taught_pairs
from common.training.truth import carried, mirrored
from common.training.views import Side, Views
from common.training.volumes import Subject
from common.training.windows import check_window, random_corner


@reads_switches
class RegistrationPairs(Dataset):
    """Pairs of subjects; item ``n`` is a pure function of ``(seed, n)``.

    Items hold what ``Views.item`` gives; where some pairs are of one person, or a teacher has fields, also ``true_ddf``
    (3, X, Y, Z) in voxels and ``true_known`` (1 or 0); fine items, whose images are deformed only in pairs of one
    person, also ``window`` and ``window_size`` (3,): the trainer makes of them what the coarse pass leaves to do.

    Args:
        data: subjects with their volumes in memory.
        views: in which contrasts the network and the loss see them.
        length: number of items of an epoch (the sampler counts on for ever).
        seed: of everything random.
        augmentation: random variation of the subjects.
        same_person: pairs whose two sides are one subject.
        pairing: which two subjects an item shows, see ``common.training.pairing``; ``taught``: in turn those pairs that
            the teacher has a field for.
        crop: sides of a window, drawn at random for each pair, that the item holds instead of the whole grid: a step
            costs less, in proportion. ``None`` gives the whole grid.
        fine: which items are on a finer grid.
        batch_size: this many items in a row are all fine or all coarse, so that they make one batch.
        device: where the volumes lie and samples are made.
        teacher: fields that count as the true ones. They are mirrored and deformed with the images.

    Raises:
        InputError: no subjects, or views, windows or fields that do not fit them.
    """

    def __init__(
        self,
        data: Sequence[Subject],
        views: Views,
        length: int = 100,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        same_person: SamePerson | None = None,
        pairing: str = "drawn",
        crop: Sequence[int] | None = None,
        fine: Fine | None = None,
        batch_size: int = 1,
        device: str | torch.device = "cpu",
        teacher: TeacherFields | None = None,
    ) -> None:
        if not data:
            raise InputError("training expects at least one subject, got none")
        views.check(list(data[0].images))
        self.device, self.views, self.length, self.seed = torch.device(device), views, length, seed
        self.subjects = [subject.to(self.device) for subject in data]
        self.augmentation, self.same_person = augmentation or Augmentation(), same_person or SamePerson()
        self.pairing = check_pairing(pairing)
        if crop:
            check_window("crop", crop, data[0].shape)
        self.crop, self.batch_size = crop, batch_size
        self.teacher = teacher
        self.taught = taught_pairs(teacher, data, pairing)
        fine = fine or Fine()
        finer = [subject.to(self.device) for subject in fine.subjects or ()]
        self.fine = replace(fine, subjects=finer, window=fine.window or data[0].shape)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator(self.device).manual_seed((self.seed * 1_000_003 + index) % (2**63))
        contrast = self.views.drawn(generator)
        first, second = paired(self.pairing, index, len(self.subjects), self.seed, generator, self.taught)
        flip = self.augmentation.mirrors(generator)
        is_fine = self.fine.drawn(index // self.batch_size, self.seed)
        subjects = self.fine.subjects if is_fine and self.fine.subjects else self.subjects
        same = self.same_person.drawn(generator)
        chosen = (subjects[first], subjects[first if same else second])
        fields = self._fields(chosen, same, is_fine, generator)
        sides = [transformed(subject, flip, field) for subject, field in zip(chosen, fields, strict=True)]
        item = self.views.item(sides, contrast, self.augmentation, generator)
        if self.same_person.share > 0 or self.teacher is not None:
            item |= self._truth(chosen, flip, fields)
        if is_fine:
            return item | self.fine.window_of(chosen[0].shape, generator)
        return self._cropped(item, self.crop, generator) if self.crop else item

    def _fields(
        self, chosen: tuple[Subject, Subject], same: bool, is_fine: bool, generator: torch.Generator
    ) -> list[Tensor | None]:
        """Draw what deforms each side: (1, 3, X, Y, Z) in voxels, or nothing."""
        if same:
            finer = chosen[1].shape[0] / self.subjects[0].shape[0]
            return [None, self.same_person.field(chosen[1].shape, finer, generator)]
        if is_fine:
            return [None, None]
        return [self.augmentation.field(subject.shape, generator) for subject in chosen]

    def _truth(
        self, chosen: tuple[Subject, Subject], flip: Sequence[int], fields: Sequence[Tensor | None]
    ) -> dict[str, Tensor]:
        """The field that the network has to find, where it is known: fixed(x) = moving(x + field(x))."""
        between = self._between(*chosen, only_fixed=fields[0] is None and fields[1] is not None)
        known = torch.tensor(float(between is not None), device=self.device)
        if between is None:
            return {"true_known": known, "true_ddf": torch.zeros(3, *chosen[1].shape, device=self.device)}
        return {"true_known": known, "true_ddf": carried(mirrored(between, flip), *fields)[0]}

    def _between(self, moving: Subject, fixed: Subject, only_fixed: bool) -> Tensor | None:
        """The field (1, 3, X, Y, Z) between two subjects as their files show them, where it is known."""
        if moving is not fixed:
            return None if self.teacher is None else self.teacher.between(moving, fixed)
        if self.teacher is None and not only_fixed:
            return None  # one person by chance: without a teacher such a pair counts like one of two persons
        return torch.zeros(1, 3, *fixed.shape, device=self.device)

    @staticmethod
    def _cropped(item: dict[str, Tensor], size: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
        corner = random_corner(item["image"].shape[1:], size, generator)
        window = (slice(None), *(slice(i, i + n) for i, n in zip(corner, size, strict=True)))
        return {key: value[window] if value.dim() == 4 else value for key, value in item.items()}


def transformed(subject: Subject, flip: Sequence[int], field: Tensor | None) -> Side:
    """Return a subject's images (1, X, Y, Z) in [0, 1] and label map, mirrored along axes and deformed by a field."""
    names, label = list(subject.images), subject.label
    images = torch.stack([subject.images[name] for name in names])
    if flip:
        images = images.flip([axis + 1 for axis in flip])
        label = None if label is None else label.flip(list(flip))
    images = images.float() / 255.0
    if field is not None:
        spare = label if label is not None else torch.zeros_like(images[0], dtype=torch.uint8)
        images, moved_label = deform(images, spare, field)
        label = None if label is None else moved_label
    return {name: images[i : i + 1] for i, name in enumerate(names)}, label

"""Who sees what before the loss: the one place where a training pair is turned into what each party looks at.

| party | looks at | set by |
|---|---|---|
| the loss | ``moving``, ``fixed`` in the contrast ``target``, the labels, ``true_ddf`` | ``Views`` |
| the network | ``image``: the same subjects in a contrast drawn from ``contrasts`` | ``Views`` |
| the teacher | ``moving``, ``fixed``: what the loss compares; its field becomes ``true_ddf`` | ``Preparation`` |
| teachers' files | the clean images of both subjects, beforehand; carried along with them | ``RegistrationPairs`` |
| network and loss, fine step | a window; the moving side is warped by the network's own coarse pass | ``Preparation`` |
| network, second pass | ``image``, warped by its own first field; the loss gets both as one | ``FieldsForward`` |

Images and labels of a subject are warped alike. That the loss may look at a contrast which the network does not see is
what makes contrast-agnostic training converge.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.data.augment import uniform
from common.data.contrasts import CONTRASTS
from common.data.synthesis import render
from common.errors import InputError
from common.spatial import resize_ddf
from common.spatial.passes import further_pass
from common.switches import reads_switches
from common.training.augmentation import Augmentation
from common.training.fine import left_to_do

SYNTHESISED = ("random", *(f"like_{contrast}" for contrast in CONTRASTS))

Side = tuple[dict[str, Tensor], Tensor | None]  # images (1, X, Y, Z) by modality, label map (X, Y, Z)


class Views:
    """In which contrasts the network and the loss see a pair.

    Args:
        contrasts: ``"moving-fixed"`` -> weight, each side a modality of the subjects, or ``random``, ``like_t1``,
            ``like_ct``, ``like_t2``, ``like_pd``, ``like_flair`` for images synthesised from the label map.
        target: modality that the loss compares, or ``seen`` for the images that the network gets.
        identifiers: FreeSurfer number of each label value, for ``like_t1`` and its siblings.
    """

    def __init__(
        self, contrasts: Mapping[str, float], target: str = "seen", identifiers: Sequence[int] | None = None
    ) -> None:
        self.contrasts = [(name.split("-"), float(weight)) for name, weight in contrasts.items()]
        self.target, self.identifiers = target, identifiers

    def check(self, modalities: Sequence[str]) -> None:
        """Raise ``InputError`` for a contrast that subjects with these modalities cannot be shown in."""
        known = sorted({*modalities, *SYNTHESISED})
        wrong = [side for sides, _ in self.contrasts for side in sides if side not in known]
        if wrong or not self.contrasts or any(len(sides) != 2 for sides, _ in self.contrasts):
            raise InputError(
                f"contrasts expects two sides such as 't1-ct', among {known}, got {wrong or self._names()}"
            )
        if self.target not in ("seen", *modalities):
            raise InputError(f"target expects seen or one of {sorted(modalities)}, got {self.target!r}")

    def _names(self) -> list[str]:
        return ["-".join(sides) for sides, _ in self.contrasts]

    def drawn(self, generator: torch.Generator) -> tuple[str, str]:
        """Draw the contrast of the moving and of the fixed side."""
        mark = uniform(generator, 0.0, sum(weight for _, weight in self.contrasts))
        for (moving, fixed), weight in self.contrasts:
            mark -= weight
            if mark <= 0:
                return moving, fixed
        return moving, fixed

    def item(
        self, sides: Sequence[Side], contrast: Sequence[str], augmentation: Augmentation, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """What the network sees and what the loss compares, of the images and labels of both sides.

        Returns:
            ``image`` (2, X, Y, Z), ``moving``, ``fixed`` (1, X, Y, Z) in [0, 1]; ``moving_label``, ``fixed_label``
            (1, X, Y, Z) where there are label maps.
        """
        item: dict[str, Tensor] = {}
        seen = []
        for side, modality, (images, label) in zip(("moving", "fixed"), contrast, sides, strict=True):
            if modality in images:
                shown = augmentation.shaded(images[modality], generator)
            else:
                shown = self._synthesised(label, modality, generator)
            shown = augmentation.acquired(shown, label, generator)
            seen.append(shown)
            item[side] = shown if self.target == "seen" else images[self.target]
            if label is not None:
                item[f"{side}_label"] = label[None]
        item["image"] = torch.cat(seen)
        return item

    def _synthesised(self, label: Tensor | None, contrast: str, generator: torch.Generator) -> Tensor:
        if label is None:
            raise InputError(f"the contrast {contrast!r} is synthesised from label maps: every subject needs one")
        return render(label, contrast.removeprefix("like_"), generator, self.identifiers)


@reads_switches
class Preparation:
    """What happens to a batch between the data set and the network: the coarse pass of fine steps, the teacher.

    Args:
        coarse: voxels of a fine volume that make one of the coarse pass, for batches that hold a ``window``.
        teacher: network whose field stands for the true one, in the objective's field term, where that is not known.
            (Knowledge distillation, Hinton et al. 2015, on fields.) Fine steps have none.
    """

    def __init__(self, coarse: int = 2, teacher: nn.Module | None = None) -> None:
        self.coarse = coarse
        self.teacher = None if teacher is None else teacher.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Any], network: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """Return the batch that the network and the objective get.

        Args:
            batch: as ``RegistrationPairs`` makes it, stacked.
            network: maps a pair (B, 2, X, Y, Z) to a field (B, 3, X, Y, Z): the network that is trained.
        """
        if "window" in batch:
            return self.left_to_do(batch, network)
        return self.taught(batch) if self.teacher is not None else dict(batch)

    def left_to_do(self, batch: Mapping[str, Any], network: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """Let the network's own coarse pass go first; see ``common.training.fine``."""
        ddf = network(F.avg_pool3d(batch["image"], self.coarse)).float()
        x, y, z = batch["image"].shape[2:]
        return left_to_do(batch, resize_ddf(ddf, (x, y, z)))

    def taught(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Fill in the teacher's field (B, 3, X, Y, Z) for the samples of a batch whose true field is not known."""
        assert self.teacher is not None
        ddf = self.teacher(torch.cat([batch["moving"], batch["fixed"]], dim=1)).float()
        if "true_known" in batch:
            ddf = torch.where(batch["true_known"].view(-1, 1, 1, 1, 1) > 0, batch["true_ddf"], ddf)
        return {**batch, "true_ddf": ddf, "true_known": torch.ones(len(ddf), device=ddf.device)}


@reads_switches
class FieldsForward(nn.Module):
    """Make ``network.fields`` the forward pass, so that distributed wrappers see the pass that training uses.

    Args:
        network: the network to train.
        second_pass: share of the training steps, drawn from torch's global generator, in which the network learns to
            go on from its own field: a first pass without gradient, then the fields of ``further_pass``.
    """

    def __init__(self, network: nn.Module, second_pass: float = 0.0) -> None:
        super().__init__()
        self.network, self.second_pass = network, second_pass

    def forward(self, pair: Tensor) -> dict[str, Tensor]:
        """Return the network's named fields for a pair (B, 2, X, Y, Z)."""
        fields: Callable[[Tensor], dict[str, Tensor]] = self.network.fields  # type: ignore[assignment]
        if not self.training or self.second_pass <= 0 or float(torch.rand(())) >= self.second_pass:
            return fields(pair)
        with torch.no_grad():
            ddf = fields(pair)["ddf"]
        return further_pass(fields, pair, ddf)

"""The training objective: image, label and smoothness terms of one predicted field."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from common.losses import SoftDiceLoss
from common.spatial import warp
from common.switches import reads_switches


@reads_switches
class Objective(nn.Module):
    """Weighted sum of an image loss, the soft label Dice and a smoothness loss.

    Args:
        image_loss: compares the warped moving image with the fixed one, or ``None``.
        image_weight: its weight.
        label_loss: ``SoftDiceLoss`` or ``None``.
        label_weight: its weight.
        smooth_loss: takes a field.
        smooth_weight: its weight.
        smooth_on: ``velocity`` or ``ddf``; a network without velocity is smoothed on its ``ddf``.
        field_weight: weight of the mean distance, in voxels over the fixed image's foreground, between the predicted
            field and the true one, for the pairs of a batch whose true field is known.
    """

    def __init__(
        self,
        image_loss: nn.Module | None = None,
        image_weight: float = 1.0,
        label_loss: SoftDiceLoss | None = None,
        label_weight: float = 1.0,
        smooth_loss: nn.Module | None = None,
        smooth_weight: float = 1.0,
        smooth_on: str = "velocity",
        field_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.image_loss, self.label_loss, self.smooth_loss = image_loss, label_loss, smooth_loss
        self.image_weight, self.label_weight, self.smooth_weight = image_weight, label_weight, smooth_weight
        self.smooth_on, self.field_weight = smooth_on, field_weight

    def forward(self, fields: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the terms by name, and their weighted sum as ``loss``.

        Args:
            fields: ``ddf`` and perhaps ``velocity``, (B, 3, X, Y, Z).
            batch: ``moving``, ``fixed`` (B, 1, X, Y, Z), ``moving_label``, ``fixed_label`` where labels count, and
                ``true_ddf`` (B, 3, X, Y, Z), ``true_known`` (B,) where some true fields are known.
        """
        use_image = self.image_loss is not None and self.image_weight > 0
        use_label = self.label_loss is not None and self.label_weight > 0
        maps = [batch["moving"]] if use_image else []
        if use_label:
            assert self.label_loss is not None
            classes = self.label_loss.choose()
            maps.append(self.label_loss.one_hot(batch["moving_label"], classes))
            fixed_maps = self.label_loss.one_hot(batch["fixed_label"], classes)
        terms: dict[str, Tensor] = {}
        if maps:
            moved = warp(torch.cat(maps, dim=1), fields["ddf"])  # one sampling for all that is warped
        if use_image:
            terms["image"] = self.image_loss(moved[:, :1], batch["fixed"])  # type: ignore[misc]
        if use_label:
            terms["label"] = self.label_loss(moved[:, 1 if use_image else 0 :], fixed_maps)  # type: ignore[misc]
        if self.smooth_loss is not None:
            terms["smooth"] = self.smooth_loss(fields.get(self.smooth_on, fields["ddf"]))
        if self.field_weight > 0 and "true_ddf" in batch:
            terms["field"] = field_error(fields["ddf"], batch["true_ddf"], batch["fixed"] > 0.02, batch["true_known"])
        weights = {
            "field": self.field_weight,
            "image": self.image_weight,
            "label": self.label_weight,
            "smooth": self.smooth_weight,
        }
        total = sum(weights[name] * value for name, value in terms.items())
        return {"loss": total, **{name: value.detach() for name, value in terms.items()}}  # type: ignore[dict-item]


def field_error(ddf: Tensor, true_ddf: Tensor, mask: Tensor, known: Tensor) -> Tensor:
    """Mean distance between two fields over a mask, of the samples that count.

    Args:
        ddf: (B, 3, X, Y, Z) in voxels.
        true_ddf: (B, 3, X, Y, Z) in voxels.
        mask: (B, 1, X, Y, Z), true where a voxel counts.
        known: (B,), 1 for a sample whose true field is known, else 0.

    Returns:
        Scalar, in voxels; 0 where no sample counts.
    """
    # The tiny constant keeps the root's gradient finite where both fields agree.
    distance = ((ddf.float() - true_ddf).square().sum(dim=1, keepdim=True) + 1e-6).sqrt()
    inside = mask.to(distance.dtype)
    per_sample = (distance * inside).flatten(1).sum(1) / inside.flatten(1).sum(1).clamp_min(1)
    return (per_sample * known).mean()

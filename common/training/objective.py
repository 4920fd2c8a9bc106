"""The training objective: image, label and smoothness terms of one predicted field."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from common.losses import SoftDiceLoss
from common.spatial import warp


class FieldsForward(nn.Module):
    """Make ``network.fields`` the forward pass, so that distributed wrappers see the pass that training uses."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pair: Tensor) -> dict[str, Tensor]:
        """Return the network's named fields for a pair (B, 2, X, Y, Z)."""
        return self.network.fields(pair)


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
    ) -> None:
        super().__init__()
        self.image_loss, self.label_loss, self.smooth_loss = image_loss, label_loss, smooth_loss
        self.image_weight, self.label_weight, self.smooth_weight = image_weight, label_weight, smooth_weight
        self.smooth_on = smooth_on

    def forward(self, fields: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the terms by name, and their weighted sum as ``loss``.

        Args:
            fields: ``ddf`` and perhaps ``velocity``, (B, 3, X, Y, Z).
            batch: ``moving``, ``fixed`` (B, 1, X, Y, Z), and ``moving_label``, ``fixed_label`` where labels count.
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
        weights = {"image": self.image_weight, "label": self.label_weight, "smooth": self.smooth_weight}
        total = sum(weights[name] * value for name, value in terms.items())
        return {"loss": total, **{name: value.detach() for name, value in terms.items()}}  # type: ignore[dict-item]

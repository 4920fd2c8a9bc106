"""Scores of a network on labelled pairs: overlap for each kind of pair, and how rough its fields are."""

from collections.abc import Mapping, Sequence

import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from torch import Tensor

from common.metrics import dice_per_structure
from common.spatial import fold_share, jacobian_determinant, sd_log_jacobian, warp


def score(ddf: Tensor, moving_label: Tensor, fixed_label: Tensor, classes: Sequence[int]) -> dict[str, float]:
    """Score one field.

    Args:
        ddf: (1, 3, X, Y, Z) in voxels.
        moving_label: (1, 1, X, Y, Z), warped by the nearest voxel.
        fixed_label: likewise.
        classes: label values that count; one that is in neither map is left out.

    Returns:
        ``dice``, the mean over the classes; ``sd_log_jacobian`` and ``folds`` (share of voxels) over the fixed labels.
    """
    moved = warp(moving_label.float(), ddf.float(), mode="nearest").round().long()
    dice = dice_per_structure(fixed_label[0, 0].long().cpu().numpy(), moved[0, 0].cpu().numpy(), list(classes))
    determinant, inside = jacobian_determinant(ddf.float()), fixed_label > 0
    return {
        "dice": float(torch.tensor(list(dice.values()), dtype=torch.float64).nanmean()),
        "sd_log_jacobian": float(sd_log_jacobian(determinant, inside)[0]),
        "folds": float(fold_share(determinant, inside)[0]),
    }


def by_kind(rows: Sequence[Mapping[str, float]], kinds: Sequence[str]) -> dict[str, float]:
    """Mean scores of pairs: ``dice KIND`` for each kind of pair, the rest over all of them."""
    groups = {
        f"dice {kind}".strip(): [r["dice"] for r, k in zip(rows, kinds, strict=True) if k == kind] for kind in kinds
    }
    groups |= {name: [row[name] for row in rows] for name in ("sd_log_jacobian", "folds")}
    return {name: sum(values) / len(values) for name, values in groups.items()}


class PairScores(Metric):
    """Ignite metric: ``by_kind`` of the validation pairs, whose ``kind`` their batches name.

    Expects what ``WarpedDice`` does: (B, 3, X, Y, Z) and (B, 2, X, Y, Z).
    """

    def __init__(self, classes: Sequence[int], **arguments: object) -> None:
        self.classes = list(classes)
        super().__init__(**arguments)  # type: ignore[arg-type]

    def reset(self) -> None:
        """Forget all pairs."""
        self.rows: list[dict[str, float]] = []
        self.kinds: list[str] = []

    def iteration_completed(self, engine: Engine) -> None:
        """Take in a batch and the kinds of its pairs."""
        super().iteration_completed(engine)
        batch = engine.state.batch
        assert isinstance(batch, Mapping)
        self.kinds += list(batch.get("kind", [""] * (len(self.rows) - len(self.kinds))))

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """Score one batch."""
        ddf, labels = (torch.as_tensor(part) for part in output)
        for b in range(len(ddf)):
            moving, fixed = labels[b : b + 1].split(1, dim=1)
            self.rows.append(score(ddf[b : b + 1], moving, fixed, self.classes))

    def compute(self) -> dict[str, float]:
        """Return the mean scores by name."""
        if not self.rows:
            raise NotComputableError("PairScores expects at least one pair, got none")
        return {f"val {name}": value for name, value in by_kind(self.rows, self.kinds).items()}

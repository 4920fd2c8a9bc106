"""Training of the finer pass: what the coarse pass leaves to do becomes a registration problem of its own.

Both the images and the labels of the moving side are warped by the coarse field once, so that the objective needs to
know nothing of it; a window of the fine grid is enough for a step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from common.data.augment import chance
from common.spatial import normalised_grid, remainder, sample
from common.switches import reads_switches
from common.training.volumes import Subject
from common.training.windows import check_window, random_corner


@reads_switches
@dataclass(frozen=True)
class Fine:
    """Which items are fine: whole volumes on a finer grid, with a window that a step looks at.

    Attributes:
        subjects: the same subjects on the finer grid, or None.
        share: of the items.
        window: sides of the window; None takes the sides of the coarse grid.

    Raises:
        InputError: the window is larger than the fine grid.
    """

    subjects: Sequence[Subject] | None = None
    share: float = 0.0
    window: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.subjects and self.window:
            check_window("fine_window", self.window, self.subjects[0].shape)

    def drawn(self, batch: int, seed: int) -> bool:
        """Draw whether batch number ``batch`` is fine: all of its items are, so that they make one batch."""
        if not self.subjects or self.share <= 0:
            return False
        # Another stream than the items' own: the first number of that one chooses the contrast.
        return chance(torch.Generator().manual_seed(2**40 + seed * 1_000_003 + batch), self.share)

    def window_of(self, shape: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
        """Draw ``window`` and ``window_size``, corner and sides (3,) of a window of a grid."""
        assert self.window is not None
        corner = random_corner(shape, self.window, generator)
        return {"window": torch.tensor(corner), "window_size": torch.tensor(list(self.window))}


def left_to_do(batch: Mapping[str, Any], ddf: Tensor) -> dict[str, Tensor]:
    """Turn whole fine volumes and the coarse pass's field into what is left, in a window of them.

    Args:
        batch: ``image`` (B, 2, X, Y, Z), ``moving``, ``fixed`` and label maps (B, 1, X, Y, Z), ``window`` and
            ``window_size`` (B, 3), corners and sides; perhaps ``true_ddf`` (B, 3, X, Y, Z) and ``true_known`` (B,).
        ddf: (B, 3, X, Y, Z) in voxels, on the same grid.

    Returns:
        The same names on the windows alone, everything moving warped by ``ddf``, of a true field the remainder.
    """
    grid = normalised_grid(ddf)
    if "true_ddf" in batch and batch["true_known"].any():
        batch = {**batch, "true_ddf": remainder(batch["true_ddf"], ddf)}
    rows: dict[str, list[Tensor]] = {"true_known": [batch["true_known"]]} if "true_known" in batch else {}
    for b, (corner, size) in enumerate(zip(batch["window"].tolist(), batch["window_size"].tolist(), strict=True)):
        x, y, z = (slice(i, i + n) for i, n in zip(corner, size, strict=True))
        positions = grid[b : b + 1, x, y, z]
        for key in (key for key, value in batch.items() if value.dim() == 5):
            volume = batch[key][b : b + 1]
            rows.setdefault(key, []).append(_moved(key, volume, volume[:, :, x, y, z], positions))
    return {key: torch.cat(values) for key, values in rows.items()}


def _moved(key: str, volume: Tensor, here: Tensor, positions: Tensor) -> Tensor:
    """Return the window ``here`` of one volume of a batch; what belongs to the moving side is sampled instead."""
    if key in ("fixed", "fixed_label", "true_ddf"):
        return here
    if key == "moving_label":
        return sample(volume.float(), positions, mode="nearest").to(volume.dtype)
    if key == "image":
        return torch.cat([sample(volume[:, :1], positions), here[:, 1:]], dim=1)
    return sample(volume, positions)

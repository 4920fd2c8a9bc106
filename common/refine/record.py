"""What a refinement says about itself: what was chosen and why, how each level went, and what came out."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class LevelRecord:
    """One level.

    Attributes:
        stage: the stage in words, such as ``correlation at 2 voxels``.
        shape: voxels of the level's grid.
        iterations: taken.
        similarity: after each iteration's force; comparable within a level only.
        smallest_determinant: of the ten of every cell, at the end.
        held_back: steps that were cut back around some cells, so that none folds.
        refused: steps that were not taken.
        seconds: wall clock.
    """

    stage: str
    shape: tuple[int, int, int]
    iterations: int
    similarity: list[float]
    smallest_determinant: float
    held_back: int
    refused: int
    seconds: float


@dataclass
class Record:
    """One refinement.

    Attributes:
        preset: as chosen by the user.
        contrasts: 1 or 2, how many the pair was taken to have.
        start: ``network``, ``affine`` or ``mean``.
        reasons: what was chosen and why, one plain sentence each.
        levels: from coarse to fine.
        smallest_determinant: of the whole field; positive means one to one.
        inverse_residual: mean and largest length of v + u(x + v) over the fixed foreground in voxels, if asked for.
        landmark_error: mean distance of the landmarks before and after in voxels, if given.
        seconds: wall clock.
    """

    preset: str
    contrasts: int = 0
    start: str = "affine"
    reasons: list[str] = field(default_factory=list)
    levels: list[LevelRecord] = field(default_factory=list)
    smallest_determinant: float = float("nan")
    inverse_residual: dict[str, float] | None = None
    landmark_error: dict[str, float] | None = None
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

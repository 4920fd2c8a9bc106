"""What a user may choose, and the recipes behind the presets."""

from dataclasses import dataclass, replace

from common.errors import InputError

PRESETS = ("off", "fast", "accurate", "auto")
SIMILARITIES = ("auto", "correlation", "mind")
STARTS = ("auto", "network", "affine", "mean")
#: Similarities of the stages, in words.
NAMES = {
    "correlation": "local correlation",
    "mind": "MIND-SSC",
    "remapped": "remapped local correlation",
    "structures": "structures",
}


@dataclass(frozen=True)
class Stage:
    """One level of a recipe.

    Attributes:
        factor: voxels of the images that make one of the level along each axis.
        iterations: how many.
        similarity: ``correlation``; ``mind``; ``remapped``, the correlation with the moving image's intensities sent
            through the conditional mean of the fixed one; or ``structures``, the pair's structures alone.
        step: mean length of a step in voxels of the level.
        radii: of the correlation's windows, in voxels of the level; several are added up.
        epsilon: least variance of a window.
        exact: derivative over all windows rather than the one around a voxel.
        force_sigma: smoothing of the force, voxels.
        field_sigma: smoothing of the field after each step, voxels.
        structures: weight of the structures' force beside the images', 0 for none.
    """

    factor: int
    iterations: int
    similarity: str = "correlation"
    step: float = 0.5
    radii: tuple[int, ...] = (2,)
    epsilon: float = 1e-3
    exact: bool = False
    force_sigma: float = 0.7
    field_sigma: float = 0.7
    structures: float = 0.0

    @property
    def words(self) -> str:
        """The stage as the record and the progress bar name it."""
        name = NAMES[self.similarity]
        if self.structures and self.similarity != "structures":
            name += " and structures"
        return f"{name} at {self.factor} voxel{'s' if self.factor > 1 else ''}"


def _levels(stage: Stage, iterations: tuple[int, ...]) -> tuple[Stage, ...]:
    factors = (4, 2, 1)
    return tuple(replace(stage, factor=f, iterations=n) for f, n in zip(factors, iterations, strict=True) if n)


_WIDE = Stage(1, 0, step=0.4, radii=(5,), epsilon=5e-4, exact=True, force_sigma=1.0)
_MIND = Stage(2, 80, "mind", step=0.4, force_sigma=1.0)
_REMAPPED = Stage(1, 15, "remapped", step=0.4, radii=(3,), epsilon=1e-4)

#: (preset, contrasts of the pair) -> stages from coarse to fine. Wide windows with the exact derivative on the coarse
#: levels, narrow ones on the finest, where few steps are enough: more of them fit the noise (docs/refinement.md).
RECIPES: dict[tuple[str, int], tuple[Stage, ...]] = {
    ("fast", 1): (*_levels(_WIDE, (40, 30, 0)), Stage(1, 10)),
    ("accurate", 1): (*_levels(_WIDE, (40, 40, 0)), Stage(1, 15)),
    ("fast", 2): (replace(_MIND, iterations=60), _REMAPPED),
    ("accurate", 2): (_MIND, _REMAPPED, replace(_REMAPPED, radii=(4,))),
}
_STRUCTURES = replace(_MIND, factor=4, iterations=20, similarity="structures", structures=1.0)
_BOTH = replace(_MIND, iterations=40, structures=0.5)
#: Preset -> stages of a pair of two contrasts whose structures are known.
KNOWN: dict[str, tuple[Stage, ...]] = {
    "fast": (_STRUCTURES, replace(_BOTH, iterations=30), _REMAPPED),
    "accurate": (_STRUCTURES, _BOTH, _REMAPPED, replace(_REMAPPED, radii=(4,))),
}


@dataclass(frozen=True)
class Options:
    """Options of ``refine``; what is ``None`` or ``auto`` is chosen from the pair.

    Attributes:
        preset: ``off`` returns the start; ``fast``, ``accurate``; ``auto`` is ``accurate``.
        similarity: ``correlation`` (LNCC) for one contrast, ``mind`` for two, then the conditional mean.
        start: ``network`` for the field given, ``affine`` for the alignment alone, ``mean`` for the middle of the
            field given and the alignment refined on the coarse levels.
        window: radius of the correlation's windows in voxels.
        smoothness: standard deviation, in voxels, of the smoothing of the field after each step; 0 to 2.
        symmetric: treat both images alike: exchanging them gives the inverse.
        seconds: no iteration begins after this time; ``None`` for no bound. With a bound the result depends on the
            machine's speed.
    """

    preset: str = "auto"
    similarity: str = "auto"
    start: str = "auto"
    window: int | None = None
    smoothness: float | None = None
    symmetric: bool = False
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("refine", self.preset, PRESETS),
            ("refine_similarity", self.similarity, SIMILARITIES),
            ("refine_start", self.start, STARTS),
        ):
            if value not in known:
                raise InputError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
        if self.window is not None and not 1 <= self.window <= 8:
            raise InputError(f"refine_window: expected a radius of 1 to 8 voxels, got {self.window!r}")
        if self.smoothness is not None and not 0 <= self.smoothness <= 2:
            raise InputError(f"refine_smoothness: expected 0 to 2 voxels, got {self.smoothness!r}")
        if self.seconds is not None and not self.seconds > 0:
            raise InputError(f"refine_seconds: expected a positive number, got {self.seconds!r}")


def stages_of(options: Options, contrasts: int, structures: bool = False) -> tuple[Stage, ...]:
    """Return the recipe of a preset with the user's own window and smoothness in place.

    Args:
        options: the user's.
        contrasts: of the pair, 1 or 2.
        structures: whether both images' are known; with one contrast they serve nothing.
    """
    preset = "accurate" if options.preset == "auto" else options.preset
    stages = KNOWN[preset] if structures and contrasts == 2 else RECIPES[preset, contrasts]
    if options.window is not None:
        stages = tuple(replace(stage, radii=(options.window,)) for stage in stages)
    if options.smoothness is not None:
        stages = tuple(replace(stage, field_sigma=options.smoothness) for stage in stages)
    return stages

"""Flags on a registration: what was measured, where the limit is, and what a user can do.

The limits stand between what was measured on pairs that are known to be good and on pairs that are known to be bad;
docs/quality.md has the figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

#: Mutual information of the start in nats, where both images show something, below which they have nothing in common.
UNRELATED = 0.045
#: Share of the start's similarity that one more interpolation may take away.
BLUR = 0.02
#: Standard deviation of the log Jacobian.
ROUGHEST = 1.05
#: Folded voxels in percent of the fixed foreground.
MOST_FOLDS = 0.5
#: Least and largest factor by which the volume of a block of 24 mm changes.
REGION_CHANGE = (0.25, 3.0)
#: Jacobian that all but 0.1 % of the voxels keep below. The low end says nothing: networks come near 0 on good pairs.
LARGEST_JACOBIAN = 16.0
#: Share of the smaller foreground that lies in the other one after the alignment.
LEAST_OVERLAP = 0.75
#: Volume of the moving foreground over that of the fixed one after the alignment.
VOLUME_RATIO = (0.6, 1.67)
#: Correlation of the intensities where both images show something: T1 with T1, CT with CT and T1 with CT have more.
LEAST_CORRELATION = -0.15
#: Share of the anatomy's largest cross-section that a face of the field of view may cut through.
MOST_CUT = 0.2
#: By what the alignment took: millimetres, on average in the brain, that the best affine map is from a rigid one. Less
#: looks like one person. Between people who have been aligned to one template before (``none``) there is little left.
ONE_PERSON = {"affine": 0.7, "none": 0.2}
#: Millimetres between two slices.
THICKEST = 4.0


@dataclass(frozen=True)
class Flag:
    """One doubt.

    Attributes:
        flag: its name, one word a kind: a program's key.
        value: what was measured.
        limit: what it should have kept to.
        word: one sentence.
        what_to_do: one sentence.
        serious: the field is worse than what it started from, or cannot be: something better takes its place.
    """

    flag: str
    value: float
    limit: float
    word: str
    what_to_do: str
    serious: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: one entry of ``quality`` in ``metrics.json``."""
        return asdict(self)


def similarity_flags(start: Mapping[str, float], result: Mapping[str, float], contrasts: int) -> list[Flag]:
    """Serious flags: the images are less alike with the field than without, or never had anything in common.

    Args:
        start: what ``likeness`` says of the alignment alone.
        result: of the field.
        contrasts: of the pair; the local correlation says something of one only.
    """
    flags = []
    if start["mutual_information_both"] < UNRELATED:
        value = start["mutual_information_both"]
        word = f"the images have nothing in common where they start (mutual information {value:.3f})"
        todo = "check that both show the same anatomy and that the alignment is right (--align, --initial)"
        flags.append(Flag("unrelated", value, UNRELATED, word, todo, True))
    kinds = {"mutual_information": "mutual information", "mutual_information_either": "mutual information"}
    if contrasts == 1:
        kinds["local_correlation"] = "local correlation"
    for key, name in kinds.items():
        limit = (1 - BLUR) * start[key]
        if result[key] < limit:
            word = f"{name} falls from {start[key]:.3f} to {result[key]:.3f}: the field makes the images less alike"
            todo = "leave refinement on (--refine auto) or take the alignment alone"
            flags.append(Flag("similarity", result[key], limit, word, todo, True))
            break
    return flags


def deformation_flags(figures: Mapping[str, float]) -> list[Flag]:
    """Serious flags: a deformation that no anatomy goes through; see ``deformation`` for the figures."""
    least, most = REGION_CHANGE
    todo = "leave refinement on (--refine auto), or raise --refine_smoothness"
    rows = [
        ("roughness", figures["sd_log_jacobian"], ROUGHEST, "SD of the log Jacobian is {0:.2f}, over {1:.2f}"),
        ("folds", figures["folds_percent"], MOST_FOLDS, "{0:.2f} % of the voxels are folded, over {1:g} %"),
        ("region", figures["region_largest"], most, "a block of 24 mm grows to {0:.1f} times its volume, over {1:g}"),
        ("jacobian", figures["jacobian_high"], LARGEST_JACOBIAN, "volumes grow by a factor of {0:.1f}, over {1:g}"),
    ]
    below = [
        ("region", figures["region_smallest"], least, "a block of 24 mm shrinks to {0:.2f} of its volume, under {1:g}"),
    ]
    broken = [row for row in rows if row[1] > row[2]] + [row for row in below if row[1] < row[2]]
    return [
        Flag(flag, value, limit, f"implausible deformation: {word.format(value, limit)}", todo, True)
        for flag, value, limit, word in broken
    ]


def not_finite_flag() -> Flag:
    """The serious flag of a network whose field holds NaN or infinity."""
    word = "the network's field holds values that are not finite"
    return Flag("not_finite", float("nan"), 0.0, word, "check the weights; run without --amp", True)


def pair_flags(
    overlap: float,
    volume_ratio: float,
    cut: Mapping[str, float],
    alignment: Sequence[str],
    identical: bool,
    slices: Mapping[str, float],
    taken: str = "",
    from_rigid: float | None = None,
) -> list[Flag]:
    """Doubts about a pair whatever its field.

    Args:
        overlap: see ``Regions``.
        volume_ratio: likewise.
        cut: by role, the share of the anatomy's cross-section that a face of its field of view cuts through.
        alignment: reasons why the alignment may be wrong.
        identical: both images are one.
        slices: by role, the largest distance of two voxels in mm.
        taken: what the alignment took, its ``kind``.
        from_rigid: how far the best affine map is from a rigid one, mm; None where none was looked for.
    """
    flags = [
        Flag("alignment", float("nan"), float("nan"), f"the alignment may be wrong: {reason}",
             "look at the result; strip both images, or give a start (--initial)")
        for reason in alignment
    ]  # fmt: skip
    if identical:
        word = "fixed and moving are the same image: the field is zero"
        flags.append(Flag("identical", 1.0, 0.0, word, "check the paths"))
    elif from_rigid is not None and from_rigid < ONE_PERSON.get(taken, 0.0):
        word = f"this may be one person twice: the best affine map is within {from_rigid:.1f} mm of a rigid one"
        todo = "if so, and if nothing grew or shrank, take a rigid map alone (--bundle none --align rigid --refine off)"
        flags.append(Flag("one_person", from_rigid, ONE_PERSON[taken], word, todo))
    if overlap < LEAST_OVERLAP:
        word = f"only {100 * overlap:.0f} % of the smaller image's anatomy lies in the other one"
        todo = "leave the alignment on (--align auto) or give a start (--initial)"
        flags.append(Flag("overlap", overlap, LEAST_OVERLAP, word, todo))
    least, most = VOLUME_RATIO
    if not least <= volume_ratio <= most:
        word = f"the moving image shows {volume_ratio:.2f} times the fixed one's volume"
        todo = "check that both are stripped and whole"
        flags.append(Flag("volume_ratio", volume_ratio, most if volume_ratio > most else least, word, todo))
    for role, share in cut.items():
        if share > MOST_CUT:
            word = f"the {role} image's field of view cuts through the anatomy (a face holds {100 * share:.0f} % of it)"
            flags.append(Flag("cut", share, MOST_CUT, word, "judge nothing near the cut; nothing is known beyond it"))
    for role, thickness in slices.items():
        if thickness > THICKEST:
            word = f"the {role} image's slices are {thickness:.1f} mm apart; what lies between them is interpolated"
            flags.append(
                Flag("thick_slices", thickness, THICKEST, word, "trust nothing finer than a slice across them")
            )
    return flags


def contrast_flag(correlation: float) -> list[Flag]:
    """Serious for a network's own field: no bundle's weights have seen a contrast that runs the other way (T2)."""
    if correlation >= LEAST_CORRELATION:
        return []
    word = (
        f"the contrasts run against each other (correlation {correlation:.2f}, as of T1 and T2); "
        "the weights were trained on T1 and CT"
    )
    return [Flag("contrast", correlation, LEAST_CORRELATION, word, "leave refinement on (--refine auto)", True)]

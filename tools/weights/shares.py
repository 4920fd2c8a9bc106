"""Who gets how much of the time."""

from collections.abc import Mapping, Sequence

from common.errors import InputError

#: Bundle -> its weight in sharing the time, the most important first. A bundle that has far to go, or whose step costs
#: more, weighs more.
PRIORITY: Mapping[str, float] = {
    "mambamorph": 3.0,
    "vmambamorph": 2.0,
    "xmorpher": 2.0,
    "vit_v_net": 1.5,
    "psmamba_net": 1.5,
    "transmorph": 1.5,
    "caml_morph": 1.5,
    "psmamba_net_diff": 1.5,
    "voxelmorph": 1.0,
}


def weights_of(bundles: Sequence[str]) -> dict[str, float]:
    """The weights of the bundles that are asked for, in their order; all of ``PRIORITY`` where none is.

    ``NAME:WEIGHT`` gives a weight of one's own; a bundle that is not in the list weighs 1.

    >>> weights_of(["voxelmorph", "mambamorph:0.5"])
    {'voxelmorph': 1.0, 'mambamorph': 0.5}

    Raises:
        InputError: a weight that is no number above 0.
    """
    weights = {}
    for word in bundles or PRIORITY:
        name, colon, text = word.rpartition(":")
        if not colon:
            weights[word] = PRIORITY.get(word, 1.0)
            continue
        try:
            weights[name] = float(text)
        except ValueError:
            weights[name] = 0.0
        if not weights[name] > 0:
            raise InputError(f"bundles: expected NAME or NAME:WEIGHT with a weight above 0, got {word!r}")
    return weights


def share_of(name: str, waiting: Mapping[str, float], left: float, workers: int = 1, reserve: float = 0.0) -> float:
    """The minutes that a bundle may train.

    What an earlier one did not use is shared out among those that wait.

    Args:
        name: the bundle whose turn it is.
        waiting: weights of the bundles that have not begun, this one among them.
        left: minutes until the end.
        workers: bundles that train side by side.
        reserve: minutes of each bundle that are not for training: reading, scoring.

    Returns:
        Minutes, never more than what is left, at least 0.

    >>> share_of("a", {"a": 3.0, "b": 1.0}, left=40.0)
    30.0
    >>> share_of("a", {"a": 3.0, "b": 1.0}, left=40.0, reserve=2.0)
    27.0
    >>> share_of("b", {"b": 1.0}, left=40.0, workers=2, reserve=2.0)
    38.0
    """
    time = left * workers - reserve * len(waiting)
    return max(0.0, min(left - reserve, time * waiting[name] / sum(waiting.values())))

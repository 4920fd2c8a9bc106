"""Whether new weights may take the place of old ones."""

from collections.abc import Mapping

#: By how much the mean Dice over the kinds of pairs has to rise.
BETTER = 0.01
#: Below it a field is smooth enough, whatever the old one was: weights that hardly move anything are the smoothest.
SMOOTH = 0.55


def verdict(old: Mapping[str, float], new: Mapping[str, float]) -> tuple[bool, str]:
    """Compare two sets of scores, see ``common.training.scores.by_kind``.

    New weights are better where the mean Dice over all kinds of pairs rose by ``BETTER``, no kind lost, and the fields
    became no rougher than they were, or than ``SMOOTH``.

    Returns:
        Whether they are, and why in words.
    """
    kinds = [name for name in old if name.startswith("dice")]
    gain = sum(new[kind] - old[kind] for kind in kinds) / len(kinds)
    lost = [kind for kind in kinds if new[kind] < old[kind]]
    rough, limit = new["sd_log_jacobian"], max(old["sd_log_jacobian"], SMOOTH)
    if gain < BETTER:
        return False, f"mean Dice {gain:+.3f}, needed {BETTER:+.2f}"
    if lost:
        return False, f"mean Dice {gain:+.3f}, but {' and '.join(lost)} fell"
    if rough > limit:
        return False, f"mean Dice {gain:+.3f}, but SD of log Jacobian {rough:.2f}, at most {limit:.2f}"
    return True, f"mean Dice {gain:+.3f}, SD of log Jacobian {rough:.2f}"

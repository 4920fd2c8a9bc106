"""What may replace a bundle's weights, and who gets how much time."""

import pytest

from tools.weights.shares import PRIORITY, share_of, weights_of
from tools.weights.verdict import verdict

OLD = {"dice T1-T1": 0.7, "dice T1-CT": 0.6, "sd_log_jacobian": 0.4, "folds": 0.0}


@pytest.mark.parametrize(
    ("changes", "better", "why"),
    [
        ({"dice T1-T1": 0.72, "dice T1-CT": 0.62}, True, "mean Dice +0.020, SD of log Jacobian 0.40"),
        ({"dice T1-T1": 0.709, "dice T1-CT": 0.609}, False, "mean Dice +0.009, needed +0.01"),
        ({"dice T1-T1": 0.75, "dice T1-CT": 0.599}, False, "mean Dice +0.025, but dice T1-CT fell"),
        ({"dice T1-T1": 0.8, "sd_log_jacobian": 0.5}, True, "mean Dice +0.050, SD of log Jacobian 0.50"),
        ({"dice T1-T1": 0.8, "sd_log_jacobian": 0.6}, False, "but SD of log Jacobian 0.60, at most 0.55"),
    ],
)
def test_weights_are_better_by_a_hundredth_and_no_rougher(changes: dict, better: bool, why: str) -> None:
    found, words = verdict(OLD, {**OLD, **changes})
    assert found is better and why in words


def test_rough_weights_may_be_replaced_by_ones_as_rough() -> None:
    rough = {**OLD, "sd_log_jacobian": 0.8}
    assert verdict(rough, {**rough, "dice T1-T1": 0.8})[0]
    assert not verdict(rough, {**rough, "dice T1-T1": 0.8, "sd_log_jacobian": 0.81})[0]


def test_all_bundles_have_a_share_and_all_shares_are_the_time() -> None:
    waiting, left, shares = weights_of([]), 60.0, []
    assert waiting == dict(PRIORITY) and len(waiting) == 9
    for name in list(waiting):
        shares.append(share_of(name, waiting, left))
        left -= shares[-1]
        del waiting[name]
    assert sum(shares) == pytest.approx(60.0) and shares[0] == max(shares)
    assert shares[0] / shares[-1] == pytest.approx(3.0)


def test_what_one_bundle_leaves_the_others_get_and_none_gets_more_than_is_left() -> None:
    assert share_of("b", {"b": 1.0, "c": 1.0}, left=50.0) == 25.0
    assert share_of("a", {"a": 9.0, "b": 1.0}, left=10.0, workers=4) == 10.0
    assert share_of("a", {"a": 1.0}, left=1.0, reserve=2.0) == 0.0

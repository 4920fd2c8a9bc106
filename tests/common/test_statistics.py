import math

import numpy as np
import pytest
from scipy import stats

from common.errors import InputError
from common.statistics import one_way_anova, paired_t_tests, summarise, tukey_hsd

RNG = np.random.default_rng(7)
SCORES = {
    "a": (0.70 + 0.02 * RNG.standard_normal(12)).tolist(),
    "b": (0.72 + 0.02 * RNG.standard_normal(12)).tolist(),
    "c": (0.78 + 0.02 * RNG.standard_normal(12)).tolist(),
}


def test_t_tests_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, sd 1, t = 2 * sqrt(3), two degrees of freedom.
    (row,) = paired_t_tests({"x": [2.0, 4.0, 6.0], "y": [1.0, 2.0, 3.0]})
    assert row["difference"] == 2 and row["n"] == 3
    assert row["t"] == pytest.approx(2 * math.sqrt(3))
    assert row["p"] == pytest.approx(0.0741799, abs=1e-6) and row["p_bonferroni"] == row["p"]


def test_t_tests_equal_scipy_and_are_corrected() -> None:
    rows = paired_t_tests(SCORES)
    assert [(r["first"], r["second"]) for r in rows] == [("a", "b"), ("a", "c"), ("b", "c")]
    for row in rows:
        expected = stats.ttest_rel(SCORES[row["first"]], SCORES[row["second"]])
        assert (row["t"], row["p"]) == pytest.approx((expected.statistic, expected.pvalue))
        assert row["p_bonferroni"] == pytest.approx(min(1, 3 * expected.pvalue))
        assert row["significant"] == (row["p_bonferroni"] < 0.05)


def test_against_one_reference_there_are_fewer_comparisons() -> None:
    rows = paired_t_tests(SCORES, ours=["c"])
    assert [(r["first"], r["second"]) for r in rows] == [("c", "a"), ("c", "b")]
    assert rows[0]["p_bonferroni"] == pytest.approx(2 * rows[0]["p"])


def test_no_variance() -> None:
    same = paired_t_tests({"x": [0.1, 0.2, 0.3], "y": [0.1, 0.2, 0.3]})[0]
    assert same["p"] == 1 and not same["significant"]
    shifted = paired_t_tests({"x": [0.1, 0.2, 0.3], "y": [0.2, 0.3, 0.4]})[0]
    assert shifted["p"] == 0 and shifted["t"] == -math.inf and shifted["significant"]


def test_anova_equals_scipy() -> None:
    result = one_way_anova(SCORES)
    expected = stats.f_oneway(*SCORES.values())
    assert (result["f"], result["p"]) == pytest.approx((expected.statistic, expected.pvalue))
    assert (result["degrees_between"], result["degrees_within"]) == (2, 33)


def test_tukey_equals_statsmodels() -> None:
    multicomp = pytest.importorskip("statsmodels.stats.multicomp")
    values = np.concatenate(list(SCORES.values()))
    theirs = multicomp.pairwise_tukeyhsd(values, np.repeat(list(SCORES), 12))
    rows = tukey_hsd(SCORES)
    # statsmodels subtracts the first group from the second and its studentised range is interpolated.
    assert [r["difference"] for r in rows] == pytest.approx((-theirs.meandiffs).tolist())
    assert [r["p"] for r in rows] == pytest.approx(theirs.pvalues.tolist(), abs=1e-3)
    assert [r["low"] for r in rows] == pytest.approx((-theirs.confint[:, 1]).tolist(), abs=1e-4)
    assert [r["significant"] for r in rows] == theirs.reject.tolist()


def test_pairs_without_a_score_are_left_out_for_every_method() -> None:
    x, y = [1.0, 2.0, float("nan"), 5.0], [0.5, 1.0, 7.0, 1.0]
    (row,) = paired_t_tests({"x": x, "y": y})
    expected = stats.ttest_rel([1.0, 2.0, 5.0], [0.5, 1.0, 1.0])
    assert row["n"] == 3 and row["p"] == pytest.approx(expected.pvalue)


def test_summary() -> None:
    x, y = summarise({"x": [1.0, 3.0, float("nan")], "y": []})
    assert x == {"method": "x", "n": 2, "mean": 2, "sd": math.sqrt(2), "median": 2, "minimum": 1, "maximum": 3}
    assert y["n"] == 0 and math.isnan(y["mean"])
    assert math.isnan(summarise({"x": [1.0]})[0]["sd"])


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ({"x": [1.0, 2.0]}, "at least two methods"),
        ({"x": [1.0, 2.0], "y": [1.0]}, "a score for the same pairs, got {'x': 2, 'y': 1}"),
        ({"x": [1.0], "y": [2.0]}, "at least two pairs scored by all methods, got 1"),
    ],
)
def test_bad_scores(scores: dict, text: str) -> None:
    for test in (paired_t_tests, one_way_anova, tukey_hsd):
        with pytest.raises(InputError, match=text):
            test(scores)


def test_effect_size_and_interval_equal_scipy() -> None:
    for row in paired_t_tests(SCORES, ours=["a", "b"]):
        first, second = np.asarray(SCORES[row["first"]]), np.asarray(SCORES[row["second"]])
        interval = stats.ttest_rel(first, second).confidence_interval(0.95)
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
        assert row["effect_size"] == pytest.approx((first - second).mean() / (first - second).std(ddof=1))
        assert row["effect_size"] == pytest.approx(row["t"] / math.sqrt(12))
    assert math.isnan(paired_t_tests({"x": [0.1, 0.2], "y": [0.1, 0.2]})[0]["effect_size"])


def test_ours_needs_others() -> None:
    with pytest.raises(InputError, match=r"the methods \['d'\] are not among \['a', 'b', 'c'\]"):
        paired_t_tests(SCORES, ours=["d"])
    with pytest.raises(InputError, match=r"needs another method, got \['a', 'b', 'c'\]"):
        paired_t_tests(SCORES, ours=["a", "b", "c"])

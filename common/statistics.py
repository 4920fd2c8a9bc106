"""The papers' statistics for "is method A better than method B on these pairs?".

Paired t-tests with Bonferroni correction, one-way analysis of variance, and Tukey's honestly significant differences,
from ``scipy.stats``. All take ``{method: scores}``, one score a pair of images, in the same order for every method.
Registering A to B and B to A, or one subject in many pairs, gives scores that are not independent: these tests then
overstate significance, and so do a handful of pairs with a normal assumption. The tables carry ``n`` for that reason.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from common.errors import InputError

Scores = Mapping[str, Sequence[float]]


def summarise(scores: Scores) -> list[dict[str, Any]]:
    """Mean, sample standard deviation, median and range of every method.

    Args:
        scores: ``{method: scores}``; NaN scores are left out and lower ``n``.

    Returns:
        A row a method: ``method``, ``n``, ``mean``, ``sd`` (n - 1 in the denominator; NaN for one score), ``median``,
        ``minimum``, ``maximum``.
    """
    rows = []
    for method, values in scores.items():
        numbers = np.asarray(values, dtype=np.float64)
        numbers = numbers[~np.isnan(numbers)]
        if numbers.size == 0:
            empty = dict.fromkeys(("mean", "sd", "median", "minimum", "maximum"), float("nan"))
            rows.append({"method": method, "n": 0, **empty})
            continue
        rows.append(
            {
                "method": method,
                "n": int(numbers.size),
                "mean": float(numbers.mean()),
                "sd": float(numbers.std(ddof=1)) if numbers.size > 1 else float("nan"),
                "median": float(np.median(numbers)),
                "minimum": float(numbers.min()),
                "maximum": float(numbers.max()),
            }
        )
    return rows


def paired_t_tests(scores: Scores, ours: Sequence[str] = (), alpha: float = 0.05) -> list[dict[str, Any]]:
    """Two-sided paired t-tests with Bonferroni correction for as many tests as are made.

    Args:
        scores: ``{method: scores}``, matched by position.
        ours: test each of these methods against each of the others, and nothing else; all pairs of methods without.
        alpha: level for the column ``significant``, compared with the corrected p value, and of the interval.

    Returns:
        A row a comparison: ``first``, ``second``, ``n``, ``difference`` (mean of first minus second), ``low`` and
        ``high`` (its 1 - alpha interval, uncorrected), ``effect_size`` (Cohen's d of paired scores: the mean difference
        over its standard deviation), ``t``, ``p``, ``p_bonferroni`` (``p`` times the number of comparisons, at most
        1), ``significant``. Equal scores throughout give p = 1 and no effect size; a constant, non-zero difference
        gives p = 0.

    Raises:
        InputError: fewer than two methods or scores, unequal lengths, an unknown method, or nothing to compare with.
    """
    table = _matched(scores)
    names = list(table)
    if unknown := [name for name in ours if name not in table]:
        raise InputError(f"the methods {unknown} are not among {names}")
    others = [name for name in names if name not in ours]
    pairs = [(own, other) for own in ours for other in others] if ours else list(combinations(names, 2))
    if not pairs:
        raise InputError(f"a comparison of {list(ours)} needs another method, got {names}")
    rows = []
    for first, second in pairs:
        difference = table[first] - table[second]
        t, p = _t_test(difference)
        corrected = min(1.0, p * len(pairs))
        rows.append(
            {
                "first": first,
                "second": second,
                "n": int(difference.size),
                "difference": float(difference.mean()),
                **_interval(difference, alpha),
                "t": t,
                "p": p,
                "p_bonferroni": corrected,
                "significant": corrected < alpha,
            }
        )
    return rows


def one_way_anova(scores: Scores) -> dict[str, float]:
    """One-way analysis of variance: do the methods' means differ at all?

    Args:
        scores: ``{method: scores}``.

    Returns:
        ``f``, ``p``, ``degrees_between``, ``degrees_within``.

    Raises:
        InputError: fewer than two methods or scores, or unequal lengths.
    """
    groups = list(_matched(scores).values())
    f, p = stats.f_oneway(*groups)
    total = sum(group.size for group in groups)
    return {
        "f": float(f),
        "p": float(p),
        "degrees_between": float(len(groups) - 1),
        "degrees_within": float(total - len(groups)),
    }


def tukey_hsd(scores: Scores, alpha: float = 0.05) -> list[dict[str, Any]]:
    """Tukey's honestly significant differences between all pairs of methods.

    Args:
        scores: ``{method: scores}``.
        alpha: level for the column ``significant`` and for the interval (1 - alpha).

    Returns:
        A row a comparison: ``first``, ``second``, ``difference``, ``p``, ``low``, ``high``, ``significant``.

    Raises:
        InputError: fewer than two methods or scores, or unequal lengths.
    """
    table = _matched(scores)
    result = stats.tukey_hsd(*table.values())
    interval = result.confidence_interval(1 - alpha)
    rows = []
    for (i, first), (j, second) in combinations(enumerate(table), 2):
        rows.append(
            {
                "first": first,
                "second": second,
                "difference": float(result.statistic[i, j]),
                "p": float(result.pvalue[i, j]),
                "low": float(interval.low[i, j]),
                "high": float(interval.high[i, j]),
                "significant": bool(result.pvalue[i, j] < alpha),
            }
        )
    return rows


def _matched(scores: Scores) -> dict[str, np.ndarray]:
    """The scores as arrays, without the positions at which any method has NaN."""
    if len(scores) < 2:
        raise InputError(f"a comparison needs at least two methods, got {list(scores)}")
    lengths = {method: len(values) for method, values in scores.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"every method needs a score for the same pairs, got {lengths}")
    table = np.array([list(values) for values in scores.values()], dtype=np.float64)
    table = table[:, ~np.isnan(table).any(axis=0)]
    if table.shape[1] < 2:
        raise InputError(f"a comparison needs at least two pairs scored by all methods, got {table.shape[1]}")
    return dict(zip(scores, table, strict=True))


def _interval(difference: np.ndarray, alpha: float) -> dict[str, float]:
    """Student's interval of the mean difference, and the effect size."""
    mean, deviation = float(difference.mean()), float(difference.std(ddof=1))
    reach = float(stats.t.ppf(1 - alpha / 2, difference.size - 1)) * deviation / difference.size**0.5
    constant = np.ptp(difference) <= 1e-12 * max(1.0, float(np.abs(difference).max()))
    return {"low": mean - reach, "high": mean + reach, "effect_size": float("nan") if constant else mean / deviation}


def _t_test(difference: np.ndarray) -> tuple[float, float]:
    """Student's t and two-sided p of paired differences; defined also where their variance is zero."""
    # Rounding leaves a variance of about 1e-34 where all differences are the same number.
    if np.ptp(difference) <= 1e-12 * max(1.0, float(np.abs(difference).max())):
        mean = float(difference.mean())
        return (0.0, 1.0) if abs(mean) <= 1e-12 else (float(np.copysign(np.inf, mean)), 0.0)
    result = stats.ttest_1samp(difference, 0.0)
    return float(result.statistic), float(result.pvalue)

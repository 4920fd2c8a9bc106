"""Which labelled study is the earlier one of the same subject."""

import pytest

from tools.monailabel_app.refused import RefusedError
from tools.monailabel_app.subjects import earlier_study

LABELLED = ["sub-01_ses-01_T1w", "sub-01_ses-02_T1w", "sub-02_ses-01_T1w", "p7_2020-01-02", "p7_2021-05-06", "q"]


@pytest.mark.parametrize(
    ("study", "earlier"),
    [
        ("sub-01_ses-03_T1w", "sub-01_ses-02_T1w"),
        ("sub-01_ses-02_T1w", "sub-01_ses-01_T1w"),
        ("p7_2022-01-01", "p7_2021-05-06"),
        ("p7_2020-12-31", "p7_2020-01-02"),
    ],
)
def test_the_last_before_it(study: str, earlier: str):
    assert earlier_study(study, LABELLED) == earlier


@pytest.mark.parametrize("study", ["sub-01_ses-01_T1w", "sub-03_ses-01_T1w", "p7_2019-01-01", "uploaded"])
def test_without_one_the_reason_is_told(study: str):
    with pytest.raises(RefusedError, match=f"before {study}, got none: choose one") as raised:
        earlier_study(study, LABELLED)
    assert raised.value.status == 422

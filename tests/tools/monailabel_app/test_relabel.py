"""Labels 1..N in the order of their values, and the names that belong to them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tools.monailabel_app.relabel import names_of_label, relabel


@given(arrays(np.int32, (4, 3, 2), elements=st.integers(0, 3000)))
def test_numbers_have_no_gaps_and_keep_their_order(labels: np.ndarray):
    dense, names = relabel(labels, {})
    values = np.unique(labels[labels > 0])
    assert list(names.values()) == list(range(1, len(values) + 1))
    assert np.array_equal(np.unique(dense[dense > 0]), np.arange(1, len(values) + 1))
    assert np.array_equal(np.concatenate([[0], values])[dense], labels)
    assert list(names) == [f"label {value}" for value in values]


def test_names_of_absent_labels_are_left_out():
    dense, names = relabel(np.array([[[0, 53, 17]]]), {2: "White", 17: "Left", 53: "Right"})
    assert names == {"Left": 1, "Right": 2} and dense.tolist() == [[[0, 2, 1]]]


def test_one_name_for_two_values_stays_two_labels():
    _, names = relabel(np.array([1, 2]), {1: "Lesion", 2: "Lesion"})
    assert names == {"Lesion": 1, "Lesion (2)": 2}


def test_background_alone():
    dense, names = relabel(np.zeros((2, 2, 2), np.int32), {1: "a"})
    assert names == {} and not dense.any() and dense.dtype == np.uint8


@pytest.mark.parametrize(("count", "kind"), [(255, np.uint8), (256, np.uint16)])
def test_the_smallest_type_that_holds_them(count: int, kind: type):
    assert relabel(np.arange(count + 1), {})[0].dtype == kind


ROWS = [{"name": "Liver", "idx": 1}, {"name": "Spleen", "idx": 2}]


@pytest.mark.parametrize(
    ("info", "values", "names"),
    [
        ({"label_info": ROWS}, [1, 2], {1: "Liver", 2: "Spleen"}),
        ({"label_info": ROWS}, [2], {1: "Liver", 2: "Spleen"}),
        # Slicer left a "background" segment out: its list counts it, its file does not
        (
            {"label_info": [{"name": "Liver", "idx": 2}, {"name": "Spleen", "idx": 3}]},
            [1, 2],
            {1: "Liver", 2: "Spleen"},
        ),
        ({"label_names": {"Spleen": 2, "Liver": 1}}, [1, 2], {1: "Liver", 2: "Spleen"}),
        ({}, [1], {}),
        ({"label_info": "x", "label_names": None}, [1], {}),
        ({"label_info": [None, {"idx": 1}, {"name": "Liver"}]}, [1], {1: "Liver"}),
    ],
)
def test_names_that_were_stored_with_a_label(info: dict, values: list[int], names: dict):
    assert names_of_label(info, values) == names

"""A description is believed where it can be a brain's."""

import pytest

from common.anatomy import STRUCTURES, Described
from common.registration.structures import implausible

BRAIN = {
    "cerebral white matter": 500.0, "cerebral cortex": 600.0, "cerebellar white matter": 25.0, "thalamus": 20.0,
    "cerebellar cortex": 110.0, "caudate": 9.0, "putamen": 14.0, "brain stem": 25.0, "hippocampus": 9.0,
}  # fmt: skip


def told(explained=0.6, **changed):
    millilitres = {name: BRAIN.get(name, 1.0) for name in STRUCTURES}
    return Described(
        None, 2, {**millilitres, **{name.replace("_", " "): v for name, v in changed.items()}}, 0.9, explained
    )


def test_a_brain_is_believed():
    assert implausible(told()) == []


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"cerebral_cortex": 1400.0}, "cerebral white matter and cerebral cortex of 1900 ml, expected 600 to 1700"),
        ({"brain_stem": 0.0}, "brain stem of 0 ml, expected 10 to 60"),
        ({"explained": 0.24}, "24 % of the variance explained, expected 50"),
        ({"thalamus": 3.0}, "thalamus of 3 ml, expected 8 to 40"),
    ],
)
def test_what_is_no_whole_brain_is_not(changed, text):
    assert implausible(told(**changed)) == [text]

"""What counts as done, what is tried again, and that a folder keeps to one way of registering."""

from dataclasses import replace

import pytest

from common.errors import InputError
from tests.tools.cohort.conftest import finish
from tools.cohort.state import shard


def test_a_pair_is_done_where_its_last_file_is(listed):
    assert not any(listed.settled(pair) for pair in listed.pairs)
    finish(listed, 1)
    assert [listed.settled(pair) for pair in listed.pairs] == [False, True, False, False]
    (listed.folder / "pair0").mkdir()
    (listed.folder / "pair0" / "moved.nii.gz").write_text("x")
    assert not listed.settled(listed.pairs[0])


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_result_is_none(listed, content):
    finish(listed, 0)
    (listed.folder / "pair0" / "metrics.json").write_text(content)
    assert listed.metrics(listed.pairs[0]) is None


def test_the_result_of_other_images_is_none(listed):
    finish(listed, 0)
    assert listed.metrics({**listed.pairs[0], "moving": "/other.nii.gz"}) is None


def test_failures_are_noted_and_forgiven(listed):
    first, second = listed.pairs[:2]
    listed.fail(first, "it is damaged")
    assert listed.failure(first) == "it is damaged" and listed.settled(first)
    assert listed.failure(second) is None
    listed.forgive(listed.pairs)
    assert not listed.settled(first)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_pair_is_in_exactly_one_shard(listed, count):
    parts = [shard(listed.pairs, number, count) for number in range(count)]
    assert sorted(pair["name"] for part in parts for pair in part) == sorted(pair["name"] for pair in listed.pairs)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_cohort_goes_on_as_it_began(listed):
    finish(listed, 1, settings={"refine": "fast"})
    same = replace(listed, settings={"refine": "fast"})
    assert same.finished_names() == {"pair1"}
    assert same.settled(listed.pairs[1])
    other = replace(listed, settings={"refine": "off"})
    assert not other.settled(listed.pairs[1])
    with pytest.raises(
        InputError, match=r"pair1 was registered with other options \(refine was fast, is off\).*another"
    ):
        other.finished_names()

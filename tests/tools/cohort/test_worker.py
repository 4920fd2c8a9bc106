"""One process: a bad pair costs itself alone, an option that nothing knows costs nobody anything."""

import os

import pytest

from common.errors import InputError
from common.registration.pairs import listed_pairs
from tests.tools.cohort.conftest import make_list
from tools.cohort.state import Cohort
from tools.cohort.worker import Work, lacks_pictures, work


@pytest.fixture
def cohort(tmp_path):
    pairs = listed_pairs(make_list(tmp_path, 5, bad=1))
    pairs[3]["moving"] = str(tmp_path / "gone.nii.gz")
    return Cohort(tmp_path / "out", pairs)


def test_bad_pairs_are_noted_and_the_others_are_done(cohort, tiny):
    work(Work(cohort, tiny))
    assert [cohort.metrics(pair) is not None for pair in cohort.pairs] == [True, False, True, False, True]
    reason = cohort.failure(cohort.pairs[1])
    assert reason.startswith("moving image") and "truncated or damaged" in reason
    assert "gone.nii.gz" in cohort.failure(cohort.pairs[3])
    assert sorted(path.name for path in (cohort.folder / "thumbnails").iterdir()) == [
        "pair0.jpg",
        "pair2.jpg",
        "pair4.jpg",
    ]


def test_what_is_done_is_not_touched(cohort, tiny):
    work(Work(Cohort(cohort.folder, cohort.pairs[:1]), tiny))
    before = (cohort.folder / "pair0" / "metrics.json").stat().st_mtime_ns
    work(Work(Cohort(cohort.folder, cohort.pairs[:3]), tiny))
    assert (cohort.folder / "pair0" / "metrics.json").stat().st_mtime_ns == before
    assert cohort.metrics(cohort.pairs[2]) is not None


def test_pictures_that_a_kill_left_out_are_drawn(cohort, tiny):
    one = cohort.of(cohort.pairs[:1])
    work(Work(one, tiny))
    picture, metrics = cohort.folder / "thumbnails" / "pair0.jpg", cohort.folder / "pair0" / "metrics.json"
    first, options = picture.read_bytes(), {"report": "true"}
    assert not lacks_pictures(cohort, cohort.pairs[0], {}) and lacks_pictures(cohort, cohort.pairs[0], options)
    picture.unlink()
    assert lacks_pictures(cohort, cohort.pairs[0], {})
    before = metrics.stat().st_mtime_ns
    work(Work(one, tiny, options))
    assert picture.read_bytes() == first and (cohort.folder / "pair0" / "report.html").is_file()
    assert metrics.stat().st_mtime_ns == before
    os.utime(picture, ns=(before - 1, before - 1))  # of an earlier result
    assert lacks_pictures(cohort, cohort.pairs[0], options)


def test_a_picture_that_cannot_be_drawn_costs_no_pair(cohort, tiny, caplog):
    work(Work(cohort.of(cohort.pairs[:1]), tiny))
    (cohort.folder / "thumbnails" / "pair0.jpg").unlink()
    (cohort.folder / "pair0" / "moved.nii.gz").unlink()
    work(Work(cohort.of(cohort.pairs[:1]), tiny))
    assert "pair0 has no picture: moved" in caplog.text and cohort.metrics(cohort.pairs[0]) is not None


def test_an_error_of_ours_is_noted_with_its_kind(cohort, tiny, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("the field is not finite")

    monkeypatch.setattr("tools.cohort.worker.Bundle.register", broken)
    work(Work(Cohort(cohort.folder, cohort.pairs[:1]), tiny))
    assert cohort.failure(cohort.pairs[0]) == "RuntimeError: the field is not finite"


def test_there_is_no_such_bundle(cohort):
    with pytest.raises(InputError, match="no bundle nowhere"):
        work(Work(cohort, "nowhere"))

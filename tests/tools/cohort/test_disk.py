"""The disk that is needed, before the first pair."""

import pytest

from common.errors import InputError
from tests.tools.cohort.conftest import finish
from tools.cohort import disk
from tools.cohort.disk import BYTES_A_VOXEL, check_disk, estimate, spread

VOXELS = 26 * 29 * 23


def test_the_estimate_is_from_headers(listed):
    assert estimate(listed, listed.pairs) == pytest.approx(4 * VOXELS * BYTES_A_VOXEL)
    assert estimate(listed, []) == 0


def test_finished_pairs_say_it_better(listed):
    finish(listed, 0)
    (listed.folder / "pair0" / "moved.nii.gz").write_bytes(bytes(3 * VOXELS))
    assert estimate(listed, listed.pairs[1:]) == pytest.approx(3 * 3 * VOXELS, rel=0.01)


def test_unreadable_images_count_nothing(listed):
    gone = {**listed.pairs[0], "fixed": "/gone.nii.gz"}
    assert estimate(listed, [gone]) == 0


def test_what_cannot_end_does_not_begin(listed, monkeypatch):
    assert "GB to write" in check_disk(listed, listed.pairs)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match=r"expected 0\.0 GB of free disk for 4 pairs, got 0\.0 GB; --check_disk false"):
        check_disk(listed, listed.pairs)


@pytest.mark.parametrize(("length", "count"), [(0, 5), (3, 5), (5, 5), (11, 5), (1000, 40)])
def test_a_sample_is_spread_over_the_list(length, count):
    pairs = [{"name": str(number)} for number in range(length)]
    some = spread(pairs, count)
    assert len(some) <= count and some[:1] == pairs[:1]
    assert len(some) >= min(length, count // 2)

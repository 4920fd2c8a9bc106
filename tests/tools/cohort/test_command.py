"""The command: killed at any moment it goes on, nothing is lost and nothing is done twice."""

import os
import random
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest

from common.errors import InputError
from tests.house import ROOT
from tests.tools.cohort.conftest import make_list
from tools.cohort.command import cohort
from tools.cohort.worker import work


def command(datalist, output, bundle, *more):
    words = ["--datalist", datalist, "--output_dir", output, "--bundle", bundle, *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return {"args": [sys.executable, "-m", "tools", "cohort", *map(str, words)], "cwd": ROOT, "env": environment}


def stamps(folder):
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/metrics.json")}


def kill_and_go_on(tmp_path, tiny, pairs, kills, seed):
    """Kill the whole group of processes at random moments, then let it end; what was done has to stay as it was."""
    datalist, output = make_list(tmp_path, pairs), tmp_path / "out"
    chance, done = random.Random(seed), {}
    for _ in range(kills):
        process = subprocess.Popen(**command(datalist, output, tiny), start_new_session=True, stderr=subprocess.DEVNULL)
        first = time.monotonic()
        while process.poll() is None and len(stamps(output)) <= len(done) and time.monotonic() < first + 60:
            time.sleep(0.02)  # until this round has done a pair: a kill during Python's start proves little
        time.sleep(chance.uniform(0, 0.6))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        now = stamps(output)
        assert done.items() <= now.items(), "a finished pair was done again"
        done = now
    ended = subprocess.run(**command(datalist, output, tiny), capture_output=True, text=True, check=True)
    assert done.items() <= stamps(output).items() and len(stamps(output)) == pairs
    assert f"{len(done)} finished before" in ended.stdout
    for folder in (output / f"pair{number}" for number in range(pairs)):
        moved = np.asarray(nib.load(folder / "moved.nii.gz").dataobj)
        assert np.isfinite(moved).all() and moved.max() > 10


def test_after_a_kill_it_goes_on(tmp_path, tiny):
    kill_and_go_on(tmp_path, tiny, pairs=3, kills=1, seed=0)


@pytest.mark.kills
def test_after_twenty_kills_it_goes_on(tmp_path, tiny):
    kill_and_go_on(tmp_path, tiny, pairs=240, kills=20, seed=1)  # more than a fast machine does in between


@pytest.fixture
def at_once(monkeypatch):
    """The jobs one after another in this process: a process of its own takes seconds to start."""
    monkeypatch.setattr("tools.cohort.command.run", lambda jobs: [work(job) for job in jobs])


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("overlap", [True, False])
def test_one_bad_pair_is_skipped_and_said(tmp_path, tiny, capsys, overlap):
    datalist, output = make_list(tmp_path, 3, bad=1), tmp_path / "out"
    with pytest.raises(
        InputError, match=r"1 of 3 pairs failed \(pair1\), the first one since: moving image [^:]*moving1.*damaged"
    ):
        cohort(datalist, output, tiny, overlap=overlap)
    assert "3 pairs, 0 finished before" in capsys.readouterr().out
    assert set(stamps(output)) == {"pair0", "pair2"}
    assert {"cohort.csv", "index.html", "failed", "thumbnails"} <= set(os.listdir(output))
    make_list(tmp_path, 3)  # the image is mended
    before = stamps(output)
    cohort(datalist, output, tiny)
    assert "3 pairs, 2 finished before" in capsys.readouterr().out
    assert before.items() <= stamps(output).items() and len(stamps(output)) == 3


def test_processes_of_torchrun_share_the_pairs(tmp_path, tiny, monkeypatch):
    datalist, output = make_list(tmp_path, 3), tmp_path / "out"
    monkeypatch.setattr("tools.cohort.command.run", lambda jobs: names.extend(_names(jobs)))
    shares = []
    for rank in range(2):
        names: list[list[str]] = []
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(InputError, match="pairs failed"):  # nothing was run
            cohort(datalist, output, tiny, workers=2)
        shares.append(names)
    assert shares == [[["pair0"], ["pair2"]], [["pair1"], []]]


def _names(jobs):
    return [[pair["name"] for pair in job.cohort.pairs] for job in jobs]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"pases": [1]}, r"unknown option --pases \(did you mean --passes\?\)"),
        ({"device": "cuda:99"}, "device: expected"),
    ],
)
def test_a_wrong_option_ends_it_before_the_first_pair(tmp_path, tiny, options, text):
    with pytest.raises(InputError, match=text):
        cohort(make_list(tmp_path, 2), tmp_path / "out", tiny, **options)
    assert not stamps(tmp_path / "out") and not (tmp_path / "out" / "failed").exists()


def test_names_of_the_cohorts_own_files_are_refused(tmp_path, tiny):
    datalist = make_list(tmp_path, 1)
    datalist.write_text(datalist.read_text().replace('"pair0"', '"failed"'))
    with pytest.raises(InputError, match="pair 'failed': expected another name"):
        cohort(datalist, tmp_path / "out", tiny)


@pytest.mark.usefixtures("at_once")
def test_overwriting_does_everything_again(tmp_path, tiny):
    datalist, output = make_list(tmp_path, 1), tmp_path / "out"
    cohort(datalist, output, tiny)
    before = stamps(output)
    with pytest.raises(InputError, match=r"pair0 was registered with other options \(amp was False, is True\)"):
        cohort(datalist, output, tiny, amp=True)
    with pytest.raises(InputError, match="unknown option --pases"):
        cohort(datalist, output, tiny, overwrite=True, pases=[1])
    assert stamps(output) == before  # a mistake costs no result
    cohort(datalist, output, tiny, overwrite=True, amp=True)
    assert stamps(output)["pair0"] > before["pair0"]


@pytest.mark.usefixtures("at_once")
def test_what_overlaps_changes_no_result(tmp_path, tiny):
    datalist, files = make_list(tmp_path, 3), ("moved.nii.gz", "warp.nii.gz", "transform.h5")
    for name, overlap in (("beside", True), ("after", False)):
        cohort(datalist, tmp_path / name, tiny, overlap=overlap)
    for pair in ("pair0", "pair1", "pair2"):
        for name in files[:2]:
            beside, after = (nib.load(tmp_path / way / pair / name) for way in ("beside", "after"))
            np.testing.assert_array_equal(np.asarray(beside.dataobj), np.asarray(after.dataobj))
        assert all((tmp_path / "beside" / pair / name).is_file() for name in files)


@pytest.mark.usefixtures("at_once")
def test_a_result_that_cannot_be_written_is_said_and_the_others_are_there(tmp_path, tiny):
    datalist, output = make_list(tmp_path, 3), tmp_path / "out"
    output.mkdir()
    (output / "pair1").write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"1 of 3 pairs failed \(pair1\), the first one since: .*pair1"):
        cohort(datalist, output, tiny, overlap=True)
    assert set(stamps(output)) == {"pair0", "pair2"}


@pytest.mark.parametrize(
    ("cores", "workers", "given", "expected"), [(4, 4, {}, False), (4, 2, {}, True), (4, 2, {"overlap": False}, False)]
)
def test_pairs_overlap_where_a_process_has_more_than_one_core(
    tmp_path, tiny, monkeypatch, cores, workers, given, expected
):
    jobs = []
    monkeypatch.setattr("tools.cohort.command.run", jobs.extend)
    monkeypatch.setattr("tools.cohort.command.os.cpu_count", lambda: cores)
    with pytest.raises(InputError, match="pairs failed"):  # nothing was run
        cohort(make_list(tmp_path, 1), tmp_path / "out", tiny, workers=workers, **given)
    assert {job.options["overlap"] for job in jobs} == {expected}

import gzip
import io
import os
import subprocess
import sys
import threading

import pytest

from common.errors import InputError, find_input_error
from common.registration import StageProgress, Summary
from tests.common.registration.phantom import WavyNetwork, make_image
from tests.common.registration.pipeline import register


def test_nothing_is_drawn_for_a_short_run(tmp_path, capsys):
    make_image(tmp_path / "f.nii")
    make_image(tmp_path / "m.nii", deform=1.0)
    pair = {"fixed": str(tmp_path / "f.nii"), "moving": str(tmp_path / "m.nii")}
    register(tmp_path / "out", WavyNetwork(), pair, [StageProgress(delay=60)])
    assert "registering" not in capsys.readouterr().err


def test_a_long_run_draws_every_stage(tmp_path, capsys):
    make_image(tmp_path / "f.nii")
    make_image(tmp_path / "m.nii", deform=1.0)
    pair = {"fixed": str(tmp_path / "f.nii"), "moving": str(tmp_path / "m.nii")}
    before = threading.active_count()
    register(tmp_path / "out", WavyNetwork(), pair, [StageProgress(delay=0)])
    assert "registering: 100%" in capsys.readouterr().err
    assert threading.active_count() <= before + 1


def test_an_error_still_ends_the_run(tmp_path):
    make_image(tmp_path / "f.nii")
    packed = gzip.compress((tmp_path / "f.nii").read_bytes())
    (tmp_path / "m.nii.gz").write_bytes(packed[: len(packed) // 2])  # the header is whole, and its size is no secret
    pair = {"fixed": str(tmp_path / "f.nii"), "moving": str(tmp_path / "m.nii.gz")}
    with pytest.raises(Exception, match="applying transform") as caught:
        register(tmp_path / "out", WavyNetwork(), pair, [StageProgress()])
    cause = find_input_error(caught.value)
    assert isinstance(cause, InputError)
    assert "truncated or damaged" in str(cause)
    assert not (tmp_path / "out").exists()


class Broken(io.StringIO):
    """A terminal that is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError("nobody reads")


@pytest.mark.parametrize("stream", [Broken(), None])
def test_what_cannot_be_shown_does_not_stop_the_run(tmp_path, monkeypatch, stream):
    make_image(tmp_path / "f.nii")
    make_image(tmp_path / "m.nii", deform=1.0)
    pair = {"fixed": str(tmp_path / "f.nii"), "moving": str(tmp_path / "m.nii")}
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr("sys.stdout", stream)
    register(tmp_path / "out", WavyNetwork(), pair, [StageProgress(delay=0), Summary()])
    assert (tmp_path / "out" / "metrics.json").is_file()


PROGRAM = """
import sys, time
from tests.common.registration.phantom import WavyNetwork
from tests.common.registration.pipeline import register
from common.registration import StageProgress, Summary
folder = sys.argv[1]
pairs = [{"fixed": f"{folder}/f.nii", "moving": f"{folder}/m.nii", "name": name} for name in "ab"]
register(f"{folder}/out", WavyNetwork(), {"datalist": pairs}, [StageProgress(delay=0), Summary()])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_a_reader_that_leaves_does_not_stop_the_run(tmp_path):
    """``... 2>&1 | head -n 1``: the run used to hang for ever, about every other time."""
    make_image(tmp_path / "f.nii")
    make_image(tmp_path / "m.nii", deform=1.0)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=writer, stderr=writer, timeout=300)
    os.close(writer)
    assert done.returncode == 0
    assert all((tmp_path / "out" / name / "metrics.json").is_file() for name in "ab")

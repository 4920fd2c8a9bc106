import threading

import pytest

from common.errors import InputError, find_input_error
from common.registration import StageProgress
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
    (tmp_path / "m.nii").write_bytes((tmp_path / "f.nii").read_bytes()[:900])  # the header is whole
    pair = {"fixed": str(tmp_path / "f.nii"), "moving": str(tmp_path / "m.nii")}
    with pytest.raises(Exception, match="applying transform") as caught:
        register(tmp_path / "out", WavyNetwork(), pair, [StageProgress()])
    cause = find_input_error(caught.value)
    assert isinstance(cause, InputError)
    assert "truncated or damaged" in str(cause)
    assert not (tmp_path / "out").exists()

"""One bad pair of three: the others finish, the bad one is named at the end, and a second run goes on."""

import json

import nibabel as nib
import numpy as np
import pytest

from common.bundle import Bundle
from common.errors import InputError
from tests.common.bundle.test_run import write_bundle
from tests.common.registration.phantom import make_image


@pytest.fixture
def listed(tmp_path):
    """A datalist of three; the middle pair's moving image is damaged behind its header."""
    for name, deform in (("a", 0.0), ("b", 1.0), ("c", 2.0)):
        make_image(tmp_path / f"{name}.nii.gz", deform=deform)
    whole = nib.load(tmp_path / "b.nii.gz").get_fdata() + np.random.default_rng(0).random((26, 29, 23))
    nib.save(nib.Nifti1Image(whole.astype("f4"), np.eye(4)), tmp_path / "bad.nii.gz")
    damage(tmp_path / "bad.nii.gz")
    rows = [{"fixed": "a.nii.gz", "moving": f"{name}.nii.gz", "name": name} for name in ("b", "bad", "c")]
    (tmp_path / "list.json").write_text(json.dumps({"test": rows}))
    return tmp_path


def damage(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_the_others_finish_and_a_second_run_goes_on(listed, caplog):
    bundle, out = Bundle(write_bundle(listed / "bundle", 1)), listed / "out"
    run = {"datalist": str(listed / "list.json")}
    with pytest.raises(
        InputError, match=r"^1 of 3 pairs could not be registered, .* done: bad: moving image .*damaged"
    ):
        bundle.register(run, out)
    assert sorted(path.name for path in out.iterdir()) == ["b", "c"]
    assert "pair bad is left out: moving image" in caplog.text
    times = {name: (out / name / "metrics.json").stat().st_mtime_ns for name in "bc"}
    make_image(listed / "bad.nii.gz", deform=1.5)
    (again,) = bundle.register(run, out, resume="true")
    assert again.folder == out / "bad"
    assert "2 of 3 pairs have results already" in caplog.text
    assert times == {name: (out / name / "metrics.json").stat().st_mtime_ns for name in "bc"}
    assert bundle.register(run, out, resume=True) == []
    assert "all 3 pairs have results of these images and options already: all is done" in caplog.text
    assert len(bundle.register(run, out, resume=True, report=False, device="cpu", refine="fast")) == 3
    assert "b is done again: refine was off, is fast" in caplog.text


def test_a_missing_file_is_said_at_the_start_and_again_at_the_end(listed, caplog):
    (listed / "bad.nii.gz").unlink()
    bundle = Bundle(write_bundle(listed / "bundle", 1))
    with pytest.raises(InputError, match=r"1 of 3 pairs could not be registered.*bad.nii.gz: .*no such file"):
        bundle.register({"datalist": str(listed / "list.json")}, listed / "out")
    assert "a pair cannot be registered; the others are: moving image" in caplog.records[0].getMessage()


def test_one_pair_alone_fails_as_it_is(listed):
    bundle = Bundle(write_bundle(listed / "bundle", 1))
    with pytest.raises(InputError, match=r"^moving image .*bad.nii.gz: expected a complete image"):
        bundle.register({"fixed": str(listed / "a.nii.gz"), "moving": str(listed / "bad.nii.gz")}, listed / "out")

"""The application as MONAI Label itself loads it: by the folder of its ``main.py``."""

from pathlib import Path

import numpy as np
import pytest

from tests.common.registration.phantom import make_image
from tests.house import ROOT
from tests.tools.monailabel_app.serving import QUICK, make_studies, same_place
from tools.monailabel_app.refused import RefusedError

pytestmark = pytest.mark.label
pytest.importorskip("monailabel", reason="MONAI Label is not installed: make label-tests")
FOLDER = ROOT / "tools" / "monailabel_app"


def test_monai_label_finds_and_runs_it(tmp_path: Path):
    from monailabel.interfaces.utils.app import app_instance

    before = sorted(path.name for path in FOLDER.iterdir() if path.name != "__pycache__")
    studies = make_studies(tmp_path)
    conf = {"atlas": str(tmp_path / "atlases"), "temporary": str(tmp_path)}
    app = app_instance(str(FOLDER), str(studies), conf)
    answer = app.infer({"model": "atlas_segmentation", "image": "lps", **QUICK})
    try:
        assert same_place(Path(answer["file"]), studies / "lps.nii.gz")
        assert answer["params"]["label_names"] == {"Left": 1, "Right": 2}
        with pytest.raises(RefusedError, match="no image 'nobody'"):
            app.infer({"model": "atlas_segmentation", "image": "nobody"})
        with pytest.raises(RefusedError, match="image: expected a plain name"):
            app.infer({"model": "atlas_segmentation", "image": str(studies / "lps.nii.gz")})
    finally:
        app.jobs.worker.stop()
        Path(answer["file"]).unlink()
    assert sorted(path.name for path in FOLDER.iterdir() if path.name != "__pycache__") == before
    assert not list(tmp_path.glob("job-*"))


def test_the_datastore_sees_what_comes_and_goes(tmp_path: Path):
    from tools.monailabel_app.studies import Studies

    studies = Studies(make_studies(tmp_path))
    assert "1.2.840.series" in studies.listing()["objects"] and studies.image("1.2.840.series").is_dir()
    (tmp_path / "studies" / "late.nii").write_bytes((tmp_path / "studies" / "lps.nii.gz").read_bytes())
    assert studies.image("late").name == "late.nii"
    (tmp_path / "studies" / "late.nii").unlink()
    with pytest.raises(RefusedError, match="no image 'late'"):
        studies.image("late")
    for name in (".partial-1-x.nii.gz", "notes.txt"):
        (tmp_path / "studies" / name).write_bytes(b"x")
    (tmp_path / "studies" / "folder").mkdir()
    assert not {".partial-1-x", "notes", "folder", "labels"} & set(studies.listing()["objects"])


def test_a_series_is_fetched_as_nifti(tmp_path: Path):
    from common.images import read_volume
    from tools.monailabel_app.studies import Studies

    studies = Studies(make_studies(tmp_path))
    file = studies.nifti("1.2.840.series", tmp_path)
    made, series = read_volume(file, "image"), read_volume(studies.image("1.2.840.series"), "image")
    assert np.array_equal(made.voxels, series.voxels) and np.allclose(made.affine, series.affine, atol=1e-5)
    assert made.voxels.dtype == np.int16


def test_an_image_of_too_many_voxels_is_refused(tmp_path: Path, monkeypatch):
    from tools.monailabel_app import studies

    monkeypatch.setattr(studies, "LARGEST", 26 * 29 * 23 - 1)
    with pytest.raises(RefusedError, match="expected at most 17341 voxels, got 26x29x23") as raised:
        studies.check_image(make_image(tmp_path / "a.nii.gz"))
    assert raised.value.status == 413

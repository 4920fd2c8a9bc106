"""A BIDS data set of phantoms, registered and judged by the validator of BIDS itself."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from common.errors import InputError
from common.geometry.transforms import apply_to_points
from common.registration.transform_files import read_transform
from tests.common.registration.phantom import make_image
from tests.tools.cohort.conftest import tiny as tiny
from tools.bids.command import bids
from tools.bids.dataset import find_images, tasks
from tools.bids.filters import filtered, read_filters
from tools.cohort.worker import work

pytest.importorskip("ancpbids")
IMAGES = (
    "sub-01/ses-a/anat/sub-01_ses-a_T1w",
    "sub-01/ses-a/anat/sub-01_ses-a_T2w",
    "sub-02/anat/sub-02_run-01_T1w",
    "sub-02/anat/sub-02_run-02_T1w",
    "sub-02/anat/sub-02_acq-hi_FLAIR",
    "sub-03/anat/sub-03_FLAIR",
)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr("tools.cohort.command.run", lambda jobs: [work(job) for job in jobs])


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    for number, name in enumerate(IMAGES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        make_image(folder / f"{name}.nii.gz", deform=1 + 0.3 * number)
        (folder / f"{name}.json").write_text("{}")
    description = {"Name": "phantoms", "BIDSVersion": "1.10.0", "DatasetType": "raw", "License": "CC0"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    (folder / "README.md").write_text("Phantoms.\n")
    return folder


@pytest.fixture
def template(tmp_path):
    (tmp_path / "templates").mkdir()
    return make_image(tmp_path / "templates" / "tpl-Phantom_T1w.nii.gz")


def test_with_a_template_every_t1w_goes_there(raw, template, caplog):
    found = tasks(find_images(raw, ("T1w", "T2w", "FLAIR")), template)
    assert [task.name for task in found] == [
        "sub-01_ses-a_from-T1w_to-Phantom",
        "sub-02_run-01_from-T1w_to-Phantom",
        "sub-02_run-02_from-T1w_to-Phantom",
        "sub-03_from-FLAIR_to-Phantom",
    ]
    assert {task.fixed for task in found} == {template}
    assert "sub-03_FLAIR.nii.gz: no T1w in its session: it goes to the template itself" in caplog.text


def test_without_one_the_others_go_to_the_first_t1w_of_their_session(raw, caplog):
    found = tasks(find_images(raw, ("T1w", "T2w", "FLAIR")))
    assert [(task.name, task.fixed.name) for task in found] == [
        ("sub-01_ses-a_from-T2w_to-T1w", "sub-01_ses-a_T1w.nii.gz"),
        ("sub-02_acq-hi_from-FLAIR_to-T1w", "sub-02_run-01_T1w.nii.gz"),
    ]
    assert "sub-03_FLAIR.nii.gz is left out: no T1w in its session" in caplog.text


def test_participants_are_chosen_by_label(raw, template):
    assert len(tasks(find_images(raw, ("T1w",), ["sub-02"]), template)) == 2
    with pytest.raises(InputError, match=r"expected a participant of 01, 02, 03, got '9'"):
        find_images(raw, ("T1w",), ["9"])
    assert [image.folder for image in find_images(raw, ("T1w",), (), ["ses-a"])] == ["sub-01/ses-a/anat"]
    with pytest.raises(InputError, match=r"expected a session of a, got 'b'"):
        find_images(raw, ("T1w",), (), ["b"])


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"t1w": {"run": "01"}}, ["sub-02_run-01"]),
        ({"t1w": {"run": 2, "datatype": "anat"}}, ["sub-02_run-02"]),
        ({"t1w": {"session": None, "run": ["01", "02"]}}, ["sub-02_run-01", "sub-02_run-02"]),
        ({"t1w": {"ses": "*"}, "bold": {"task": "rest"}}, ["sub-01_ses-a"]),
        ({"T1w": {"run": "Query.NONE", "acquisition": None}}, ["sub-01_ses-a"]),
        ({"flair": {"acquisition": "lo"}}, ["sub-01_ses-a", "sub-02_run-01", "sub-02_run-02"]),
    ],
)
def test_a_filter_file_chooses_by_entities(raw, tmp_path, filters, names):
    (tmp_path / "filters.json").write_text(json.dumps(filters))
    found = filtered(find_images(raw, ("T1w",)), read_filters(tmp_path / "filters.json"))
    assert [image.entities for image in found] == names


@pytest.mark.parametrize(
    ("filters", "text"),
    [({"t1w": {"colour": "a"}}, r"T1w: expected one of subject, .*, got 'colour'"), ({"t1w": 3}, "got 3")],
)
def test_a_filter_that_nothing_has_is_refused(tmp_path, filters, text):
    (tmp_path / "filters.json").write_text(json.dumps(filters))
    with pytest.raises(InputError, match=text):
        read_filters(tmp_path / "filters.json")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"analysis_level": "session"}, "analysis_level: expected participant or group, got 'session'"),
        ({"space": "MNI-152"}, "space: expected letters and digits.*got 'MNI-152'"),
        (
            {"participant_label": ["03"], "template": None},
            "nothing to register: expected a T1w beside another of T2w.*got 1 images",
        ),
        ({"bids_dir": Path("/")}, "expected a BIDS data set, got no dataset_description.json"),
    ],
)
def test_what_cannot_be_is_refused(raw, template, tmp_path, change, text):
    arguments = {"bids_dir": raw, "out_dir": tmp_path / "out", "analysis_level": "participant", "template": template}
    with pytest.raises(InputError, match=text):
        bids(**(arguments | change))


@pytest.fixture
def derivatives(raw, template, tmp_path, tiny):
    bids(raw, tmp_path / "derivatives", "participant", template=template, bundle=tiny)
    return tmp_path / "derivatives"


def test_derivatives_have_the_names_of_bids(derivatives, raw, template, tiny, capsys):
    folder = derivatives / "sub-01" / "ses-a" / "anat"
    assert sorted(path.name for path in folder.iterdir()) == [
        "sub-01_ses-a_from-Phantom_to-T1w_mode-image_xfm.h5",
        "sub-01_ses-a_from-Phantom_to-T1w_mode-image_xfm.json",
        "sub-01_ses-a_from-T1w_to-Phantom_mode-image_xfm.h5",
        "sub-01_ses-a_from-T1w_to-Phantom_mode-image_xfm.json",
        "sub-01_ses-a_space-Phantom_T1w.json",
        "sub-01_ses-a_space-Phantom_T1w.nii.gz",
    ]
    there = nib.load(folder / "sub-01_ses-a_space-Phantom_T1w.nii.gz")
    np.testing.assert_array_equal(there.affine, nib.load(template).affine)
    sidecar = json.loads((folder / "sub-01_ses-a_space-Phantom_T1w.json").read_text())
    assert sidecar["Sources"][0] == "bids:raw:sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz"
    links = json.loads((derivatives / "dataset_description.json").read_text())["DatasetLinks"]
    assert (derivatives / links["raw"]).samefile(raw) and (derivatives / links["template"]).samefile(template.parent)
    point = np.array([[4.0, -3.0, 10.0]])
    ways = ("from-T1w_to-Phantom", "from-Phantom_to-T1w")
    there, back = (read_transform(folder / f"sub-01_ses-a_{way}_mode-image_xfm.h5") for way in ways)
    np.testing.assert_allclose(apply_to_points(back, apply_to_points(there, point)), point, atol=0.5)
    capsys.readouterr()
    bids(raw, derivatives, "participant", template=template, bundle=tiny)
    assert "4 pairs, 4 finished before" in capsys.readouterr().out
    bids(raw, derivatives, "group", template=template)
    assert (derivatives / "work" / "index.html").is_file() and (derivatives / "work" / "cohort.csv").is_file()


def test_a_broken_subject_costs_itself(raw, template, tmp_path, tiny):
    broken = raw / "sub-01" / "ses-a" / "anat" / "sub-01_ses-a_T1w.nii.gz"
    broken.write_bytes(broken.read_bytes()[:3000])
    out = raw / "derivatives" / "registered"  # where BIDS Apps are often told to write
    with pytest.raises(InputError, match=r"1 of 4 pairs failed \(sub-01_ses-a_from-T1w_to-Phantom\)"):
        bids(raw, out, "participant", template=template, bundle=tiny)
    assert len(list(out.glob("sub-*/**/*_space-Phantom_*.nii.gz"))) == 3
    assert len(tasks(find_images(raw, ("T1w", "FLAIR")), template)) == 4  # derivatives are no raw images


def errors_of_the_validator(derivatives):
    """Errors that the validator of BIDS finds; None where it is not installed."""
    validator = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent))
    if validator is None:
        return None
    done = subprocess.run([validator, str(derivatives), "--json"], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [(issue["code"], issue.get("location")) for issue in issues if issue.get("severity") == "error"]


def test_the_validator_of_bids_finds_no_error(derivatives):
    if (errors := errors_of_the_validator(derivatives)) is None:
        pytest.skip("bids-validator-deno is not installed (the extra bids_tests)")
    assert errors == []
    (derivatives / "sub-01" / "ses-a" / "anat" / "sub-01_moved.nii.gz").write_bytes(b"x")
    assert errors_of_the_validator(derivatives), "it looks at nothing"

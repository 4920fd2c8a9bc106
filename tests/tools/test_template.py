"""The template of subjects whose mean is known: ellipsoids, which have the ellipsoid of the mean axes between them."""

import json

import nibabel as nib
import numpy as np
import pytest

from common.errors import InputError
from tests.tools.cohort.conftest import tiny as tiny
from tools.cohort.worker import work
from tools.template import template

RADII = ((16, 20, 15), (20, 16, 15), (18, 21, 21))
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
#: The network moves nothing that matters: its field is thrown away for the alignment's, which is refined.
OPTIONS = {"align": "none", "refine": "fast", "refine_start": "affine", "refine_similarity": "correlation"}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr("tools.cohort.command.run", lambda jobs: [work(job) for job in jobs])


@pytest.fixture
def subjects(tmp_path):
    """Ellipsoids of three axes, bright in the middle, on one grid of 2 mm."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in (30, 30, 30)], indexing="ij"), axis=-1)
    points, paths = 2.0 * (index - 14.5), []
    for number, radii in enumerate(RADII):
        radius = np.sqrt(((points / np.array(radii)) ** 2).sum(-1))
        volume = np.where(radius < 1, 100 - 40 * radius + 15 * np.cos(6 * np.pi * radius), 0)
        paths.append(str(tmp_path / f"subject{number}.nii.gz"))
        nib.save(nib.Nifti1Image(volume.astype(np.float32), AFFINE), paths[-1])
    return paths


def axes_of(path):
    """Half axes of the bright part in millimetres, from its second moments; cut halfway down its edge."""
    image = nib.load(path)
    voxels = np.asarray(image.dataobj)
    inside = np.argwhere(voxels > 0.37 * np.percentile(voxels, 99)) * 2.0
    return np.sqrt(5 * inside.var(axis=0))


def test_the_template_has_the_mean_shape(subjects, tmp_path, tiny, capsys):
    template(tmp_path / "out", images=subjects, bundle=tiny, iterations=2, start=subjects[0], **OPTIONS)
    mean = np.mean([axes_of(subject) for subject in subjects], axis=0)
    np.testing.assert_allclose(mean, np.mean(RADII, axis=0), atol=0.6)  # of voxels of 2 mm
    before = np.abs(axes_of(subjects[0]) - mean)
    after = np.abs(axes_of(tmp_path / "out" / "template.nii.gz") - mean)
    assert before.max() > 1.5
    assert after.max() < 2 / 3, f"axes {axes_of(tmp_path / 'out' / 'template.nii.gz')}, expected {mean}"
    record = json.loads((tmp_path / "out" / "template.json").read_text())
    assert record["moved_mm"][1] < 0.6 * record["moved_mm"][0]
    assert record["images"] == subjects
    capsys.readouterr()
    template(tmp_path / "out", images=subjects, bundle=tiny, iterations=2, start=subjects[0], **OPTIONS)
    assert capsys.readouterr().out.count("3 pairs, 3 finished before") == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "expected either images or a datalist"),
        ({"images": ["a.nii.gz", "a.nii.gz"]}, "expected two images or more, got 1"),
        ({"datalist": "list.json"}, r"entry 2: expected the key 'image' \(--key\), got t1"),
    ],
)
def test_what_is_no_set_of_images_is_refused(tmp_path, arguments, text):
    if "datalist" in arguments:
        (tmp_path / "list.json").write_text(json.dumps({"training": [{"image": "a.nii.gz"}, {"t1": "b.nii.gz"}]}))
        arguments = {"datalist": tmp_path / "list.json"}
    with pytest.raises(InputError, match=text):
        template(tmp_path / "out", **arguments)

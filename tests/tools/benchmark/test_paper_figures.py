"""A paper's figures from a run: what is drawn of which files, and what is said where they are not there."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from common.errors import InputError
from common.images import read_volume
from tests.tools.benchmark.records import STRUCTURES, make_records
from tools.benchmark.paper_figures import FIGURES, benchmark_figures, colours_of, show

AFFINE = np.diag([-2.0, 2, 2, 1])  # left, front, up


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of three methods on four pairs with their fields, and the list."""
    label = np.zeros((24, 20, 18), np.uint8)
    label[6:18, 5:15, 4:14], label[10:14, 8:12, 6:10] = 2, 16
    image = np.where(label, 50.0 + label, 0).astype(np.float32)
    for name, volume in (("image", image), ("label", label)):
        nibabel.save(nibabel.Nifti1Image(volume, AFFINE), tmp_path / f"{name}.nii.gz")
    files = {key: f"{key.split('_')[-1] if 'label' in key else 'image'}.nii.gz"
             for key in ("fixed", "moving", "fixed_label", "moving_label")}  # fmt: skip
    pairs = [{"name": f"pair{n}", **files} for n in range(4)]
    structures = {str(value): name for value, name in STRUCTURES.items()}
    (tmp_path / "list.json").write_text(json.dumps({"labels": structures, "validation": pairs}))
    out = tmp_path / "run"
    (out / "records").mkdir(parents=True)
    (out / "fields").mkdir()
    field = np.zeros((3, *label.shape), np.float32)
    field[0] = 3.0
    for record in make_records():
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in f"{record['method']}__{record['pair']}")
        (out / "records" / f"{name}.json").write_text(json.dumps(record))
        np.save(out / "fields" / f"{name}.npy", field if record["method"] == "MambaMorph" else 0 * field)
    return out


@pytest.mark.parametrize("paper", FIGURES)
def test_every_paper_has_its_figures(paper: str, run: Path, capsys: pytest.CaptureFixture) -> None:
    benchmark_figures(str(run), paper, str(run.parent / "list.json"), pair="pair1", output=str(run.parent / "drawn"))
    drawn = {path.name for path in (run.parent / "drawn").iterdir()}
    apart = [f"{paper}_{name}_{n}.png" for name in FIGURES[paper] if name in ("boxes", "curves") for n in (1, 2)]
    assert drawn == {*apart, *(f"{paper}_{name}.png" for name in FIGURES[paper] if name in ("fields", "contours"))}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (run.parent / "drawn").iterdir())
    assert capsys.readouterr().out.count("wrote ") == len(drawn)


def test_a_slice_is_what_the_field_makes_of_the_moving_image(run: Path) -> None:
    files = {"fixed": "image", "moving": "image", "fixed_label": "label", "moving_label": "label"}
    volumes = {key: read_volume(run.parent / f"{file}.nii.gz", key) for key, file in files.items()}
    field = np.zeros((3, 24, 20, 18), np.float32)
    field[0] = 3.0  # voxels of an axis that runs to the left: 6 mm to the left
    shown = show(volumes, "method", field, 7)
    assert shown.image.shape == shown.label.shape == (24, 20) and shown.field.shape == (24, 20, 3)
    assert np.allclose(shown.field[5, 5], [-6, 0, 0])
    before = volumes["moving_label"].in_ras().voxels[:, :, 7]
    assert np.array_equal(shown.label[3:], before[:-3])  # read further to the left, so that it moves to the right
    assert colours_of(shown.field, 6.0)[5, 5].tolist() == [0.0, 0.5, 0.5]


def test_mistakes_are_named(run: Path, tmp_path: Path) -> None:
    listed = str(run.parent / "list.json")
    for arguments, message in (
        ((str(run), "psmama"), r"expected a paper among .*, got 'psmama' \(did you mean psmamba\?\)"),
        (
            (str(tmp_path / "none"), "psmamba"),
            r"none: expected records/\*\.json of a benchmark or an evaluation, found none",
        ),
        ((str(run), "vmambamorph"), "fields of a run expect the datalist that was registered"),
        ((str(run), "vmambamorph", listed, "validation", "pair9"), "pair: expected one of pair0, .*, got 'pair9'"),
    ):
        with pytest.raises(InputError, match=message):
            benchmark_figures(*arguments)
    next((run / "fields").glob("MambaMorph__pair0*")).unlink()
    with pytest.raises(InputError, match="expected the field of MambaMorph: run the benchmark with --keep_fields true"):
        benchmark_figures(str(run), "mambamorph", listed)

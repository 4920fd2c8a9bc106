"""Which output and which interpolation an input of ``apply`` has, known before anything is read."""

from pathlib import Path

import pytest

from common.errors import InputError
from common.registration.jobs import plan


def test_an_output_for_each_input(tmp_path: Path):
    jobs = plan(["a.nii", "b.seg.nrrd"], ["x/a.nii.gz", "b2.seg.nrrd"], ["linear"])
    assert [(str(job.target), job.interpolation) for job in jobs] == [
        ("x/a.nii.gz", "linear"),
        ("b2.seg.nrrd", "label"),
    ]


def test_one_folder_for_all(tmp_path: Path):
    inputs = ["in/t1.mgz", "in/ct.nii.gz", "in/s.seg.nrrd", "in/p.csv"]
    jobs = plan(inputs, ["out"], ["cubic", "linear", "nearest", "linear"])
    assert [job.target.name for job in jobs] == ["t1.nii.gz", "ct.nii.gz", "s.seg.nrrd", "p.csv"]
    assert [job.interpolation for job in jobs] == ["cubic", "linear", "nearest", "linear"]
    assert plan(["in/a.nii"], [str(tmp_path)], ["linear"])[0].target == tmp_path / "a.nii"


@pytest.mark.parametrize(
    ("inputs", "outputs", "interpolations", "text"),
    [
        (
            ["a.nii", "b.nii"],
            ["x.nii", "y.nii", "z.nii"],
            ["linear"],
            "expected 2 outputs, one an input, or one folder, got 3",
        ),
        (["a.nii"], ["x.nii"], ["linear", "cubic"], "expected one interpolation or 1, one an input, got 2"),
        (["a.nii"], ["x.nii"], ["spline"], "expected one of linear, nearest, label, cubic, got 'spline'"),
        (["a.nii"], ["./a.nii"], ["linear"], "it would replace an input or another output"),
        (["a.nii"], ["fixed.nii"], ["linear"], "output fixed.nii: it would replace"),
        (["i/a.nii", "j/a.nii"], ["out"], ["linear"], "output out/a.nii: it would replace"),
        (["a.csv"], ["a.nii"], ["linear"], "expected a name that ends with .csv for a.csv"),
        (["a.mrk.json"], ["b.json"], ["linear"], "expected a name that ends with .mrk.json"),
        (["a.seg.nrrd"], ["b.nrrd"], ["label"], "expected a name that ends with .seg.nrrd"),
        (["a.nii"], ["b.seg.nrrd"], ["label"], "expected a name that ends with .nii, .nii.gz, .nrrd, .mha for a.nii"),
        (["a.nii"], ["b.png"], ["linear"], "expected a name that ends with .nii"),
    ],
)
def test_what_does_not_fit(inputs: list[str], outputs: list[str], interpolations: list[str], text: str):
    with pytest.raises(InputError, match=text):
        plan(inputs, outputs, interpolations, ["fixed.nii", "warp.nii.gz"])

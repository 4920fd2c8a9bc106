from pathlib import Path

from common.registration import Summary
from common.registration.summary import summary_lines
from tests.common.registration.phantom import WavyNetwork, make_image
from tests.common.registration.pipeline import register

METRICS = {
    "fixed": "/data/f.nii.gz",
    "moving": "/data/m.nii.gz",
    "network": "VoxelMorph",
    "similarity": {
        "before": {"ncc": 0.4, "mutual_information": 0.8},
        "after": {"ncc": 0.8, "mutual_information": 1.6},
    },
    "field": {"folds_percent": 0.25, "sd_log_jacobian_foreground": 0.1234, "displacement_mm_max": 7.04},
    "stage_seconds": {"total": 12.34, "network": 5.0},
    "peak_memory_mb": 2500.0,
}


def test_the_lines_of_one_pair():
    assert summary_lines(METRICS, [Path("out/warp.nii.gz"), Path("out/metrics.json")]) == [
        "m.nii.gz onto f.nii.gz with VoxelMorph",
        "  correlation 0.400 to 0.800, mutual information 0.800 to 1.600",
        "  folds 0.25 % of the voxels, smoothness (SD of log Jacobian) 0.123, displacement up to 7.0 mm",
        "  12.3 s, of which network 5.0 s; peak memory 2.5 GB",
        "  written to out: warp.nii.gz, metrics.json",
    ]


def test_labels_a_true_field_and_a_note_have_their_place():
    further = {
        "dice": {"before": {"mean": 0.5}, "after": {"mean": 0.75}},
        "tre_mm": {"before": {"mean": 4.9}, "after": {"mean": 2.1}},
        "note": "set to zero",
    }
    lines = summary_lines(METRICS | further, [Path("out/metrics.json")])
    assert lines[1].endswith(", mean Dice 0.500 to 0.750")
    assert lines[2] == "  distance to the true field: mean 4.90 to 2.10 mm"
    assert lines[-1] == "  note: set to zero"


def test_memory_that_the_system_does_not_tell_is_left_out():
    assert "memory" not in "".join(
        summary_lines(METRICS | {"peak_memory_mb": float("nan")}, [Path("out/metrics.json")])
    )


def test_a_run_says_what_it_wrote_unless_it_is_told_not_to(tmp_path, capsys):
    make_image(tmp_path / "f.nii")
    make_image(tmp_path / "m.nii", deform=1.0)
    pair = {"fixed": str(tmp_path / "f.nii"), "moving": str(tmp_path / "m.nii")}
    register(tmp_path / "out", WavyNetwork(), pair, [Summary(console="false")])
    assert capsys.readouterr().out == ""
    register(tmp_path / "out", WavyNetwork(), pair, [Summary()])
    assert (
        f"written to {tmp_path / 'out'}: moved.nii.gz, warp.nii.gz, jacobian.nii.gz, transform.h5, metrics.json"
        in capsys.readouterr().out
    )

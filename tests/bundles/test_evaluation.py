"""The bundles' evaluate.json on top of inference.json, in one process and in two."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from tests.bundles.conftest import BUNDLES, ROOT, read
from tests.common.training.tiny import TinyNetwork

TINY = {"_target_": "tests.common.training.tiny.TinyNetwork"}
AFFINE = np.array([[-2.0, 0, 0, 30], [0, 0, 2, -20], [0, -2, 0, 25], [0, 0, 0, 1]])


def write_kit(folder: Path) -> Path:
    """Three pairs of blocks with two labels, and weights of a tiny network."""
    random = np.random.default_rng(0)
    names = []
    for number in range(3):
        label = np.zeros((20, 18, 22), np.uint8)
        shift = number
        label[4 + shift : 14, 4:14, 5 : 16 - shift] = 1
        label[7 : 10 + shift, 6:11, 8:13] = 2
        image = np.where(label > 0, 60 + 60 * label + random.normal(0, 3, label.shape), 0)
        nib.save(nib.Nifti1Image(image.clip(0, 255).astype(np.uint8), AFFINE), folder / f"s{number}.nii.gz")
        nib.save(nib.Nifti1Image(label, AFFINE), folder / f"s{number}_seg.nii.gz")
        names.append(f"s{number}")
    pairs = [
        {
            "moving": f"{m}.nii.gz",
            "fixed": f"{f}.nii.gz",
            "moving_label": f"{m}_seg.nii.gz",
            "fixed_label": f"{f}_seg.nii.gz",
            "kind": "blocks",
        }
        for m, f in ((names[0], names[1]), (names[1], names[2]), (names[2], names[0]))
    ]
    (folder / "s1_points.csv").write_text("7,6,8\n10,10,12\n")
    (folder / "s2_points.csv").write_text("7,6,8\n11,10,12\n")
    pairs[1] |= {"moving_keypoints": "s1_points.csv", "fixed_keypoints": "s2_points.csv"}
    datalist = {"labels": {"0": "Background", "1": "Outer", "2": "Inner"}, "validation": pairs}
    (folder / "list.json").write_text(json.dumps(datalist))
    torch.manual_seed(1)
    torch.save(TinyNetwork().state_dict(), folder / "model.pt")
    return folder


def options(folder: Path, output: str, **more: Any) -> dict[str, Any]:
    return {
        "datalist": str(folder / "list.json"),
        "weights": str(folder / "model.pt"),
        "output_dir": str(folder / output),
        "network_def": TINY,
        "device": "$torch.device('cpu')",
        "shape": None,
        "cube": False,
        "multiple": 8,
        "spacing": 4.0,
        **more,
    }


def evaluate(name: str, overrides: dict[str, Any]) -> ConfigWorkflow:
    configs = ROOT / "bundles" / name / "configs"
    files = [str(configs / file) for file in ("inference.json", "evaluate.json")]
    workflow = ConfigWorkflow(files, workflow_type="infer", logging_file=False, **overrides)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


def scores(folder: Path) -> list[dict[str, Any]]:
    """Rows of the pairs without what differs from run to run."""
    rows = json.loads((folder / "evaluation.json").read_text())["pairs"]
    return [{k: v for k, v in row.items() if "seconds" not in k and k != "peak_memory_mb"} for row in rows]


def test_an_evaluation_scores_every_pair(tmp_path: Path) -> None:
    write_kit(tmp_path)
    workflow = evaluate("mambamorph", options(tmp_path, "out"))
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [row["pair"] for row in content["pairs"]] == ["s0_to_s1", "s1_to_s2", "s2_to_s0"]
    assert content["protocol"]["structures"] == {"1": "Outer", "2": "Inner"}
    assert content["protocol"]["network_grid_mm"] == 4.0
    (summary,) = content["summary"]
    assert summary["method"] == "MambaMorph" and summary["pairs"] == 3
    dice = [row["dice_nearest"] for row in content["pairs"]]
    assert summary["dice_nearest"] == pytest.approx(np.mean(dice), abs=1e-5) and min(dice) > 0
    assert content["pairs"][0]["landmark_error_mm"] is None and content["pairs"][1]["landmark_error_mm"] > 0
    metrics = workflow.parser.get_parsed_content("evaluator").state.metrics
    assert metrics["dice_nearest"] == pytest.approx(summary["dice_nearest"], abs=1e-5)
    for name in ("pairs.csv", "structures.csv", "summary.csv", "records/MambaMorph__s1_to_s2.json"):
        assert (tmp_path / "out" / name).is_file()


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    write_kit(tmp_path)
    evaluate("mambamorph", options(tmp_path, "one"))
    configs = ROOT / "bundles" / "mambamorph" / "configs"
    files = [str(configs / f"{name}.json") for name in ("inference", "evaluate", "multi_gpu_evaluate")]
    words = [
        f"--{key}={json.dumps(value) if isinstance(value, dict) else value}"
        for key, value in options(tmp_path, "two").items()
    ]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29611"]
    command += ["-m", "monai.bundle", "run", "--config_file", str(files), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    # Three pairs on two processes: the sampler repeats one, the report counts it once.
    assert scores(tmp_path / "two") == scores(tmp_path / "one")


def test_a_missing_datalist_ends_in_one_line(tmp_path: Path) -> None:
    configs = ROOT / "bundles" / "mambamorph" / "configs"
    files = str([str(configs / "inference.json"), str(configs / "evaluate.json")])
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", files, "--output_dir", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "error: an evaluation expects a datalist with pairs and labels (--datalist), got none" in done.stderr


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
@pytest.mark.parametrize("name", ["evaluate.json", "multi_gpu_evaluate.json"])
def test_the_same_in_every_bundle(bundle: Path, name: str) -> None:
    first, this = (read(path / "configs" / name) for path in (ROOT / "bundles" / "mambamorph", bundle))
    assert first == this

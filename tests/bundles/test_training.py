"""The bundles' train.json, run as MONAI runs it, on a tiny network and a tiny data set."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from common.training.initialisation import parameter_groups
from tests.common.training.tiny import TinyNetwork, write_data_set
from tools.convert import build_network

ROOT = Path(__file__).resolve().parents[2]
TRAINABLE = sorted(path.parent.parent.name for path in ROOT.glob("bundles/*/configs/train.json"))
TINY = {"_target_": "tests.common.training.tiny.TinyNetwork", "dropout": 0.3}


def overrides(folder: Path, runs: str, **more: Any) -> dict[str, Any]:
    """What makes a published recipe small enough for a test."""
    return {
        "recipe": "synth",
        "datalist": str(folder / "list.json"),
        "ckpt_dir": str(folder / runs),
        "device": "$torch.device('cpu')",
        "network_def": TINY,
        "size": [16, 16, 16],
        "epochs": 2,
        "epoch_length": 2,
        "val_interval": 1,
        "log_interval": 1,
        "progress": False,
        "label_weight": 0.5,
        "classes_per_step": 1,
        "precision": "float32",
        "rate_factors": {},  # their names are those of the bundle's own network
        **more,
    }


def run(name: str, options: dict[str, Any]) -> ConfigWorkflow:
    folder = ROOT / "bundles" / name / "configs"
    workflow = ConfigWorkflow(
        workflow_type="train",
        config_file=str(folder / "train.json"),
        meta_file=str(folder / "metadata.json") if (folder / "metadata.json").exists() else None,
        logging_file=False,
        **options,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


def state(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "last.pt", weights_only=True)


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("recipe", ["paper", "synth"])
def test_every_recipe_trains_and_keeps_the_zoo_s_names(tmp_path: Path, name: str, recipe: str) -> None:
    write_data_set(tmp_path)
    small = {"modalities": ["t1", "ct"], "contrasts": {"t1-ct": 1.0}} if recipe == "paper" else {}
    workflow = run(name, overrides(tmp_path, "runs", recipe=recipe, spacing=2.0, epochs=1, batch_size=1, **small))
    for key in ("train#trainer", "train#dataset#data", "train#inferer", "validate#evaluator", "val_interval"):
        assert key in workflow.parser, key
    assert workflow.check_properties() in (None, [])
    assert state(tmp_path / "runs")["step"] == 2
    assert json.loads((tmp_path / "runs" / "best.json").read_text())["epoch"] == 1
    rows = list(csv.DictReader((tmp_path / "runs" / "log.csv").open()))
    assert [row["step"] for row in rows] == ["1", "2", "2"] and 0 < float(rows[2]["val_dice"]) < 1


def write_teacher(folder: Path) -> str:
    """A bundle with the tiny network."""
    (folder / "teacher" / "configs").mkdir(parents=True)
    (folder / "teacher" / "models").mkdir()
    (folder / "teacher" / "configs" / "inference.json").write_text(json.dumps({"network_def": TINY}))
    torch.save(TinyNetwork().half().state_dict(), folder / "teacher" / "models" / "model.pt")
    return str(folder / "teacher")


@pytest.mark.parametrize("kind", ["plain", "everything"])
def test_a_resumed_run_ends_bit_for_bit_like_an_uninterrupted_one(tmp_path: Path, kind: str) -> None:
    write_data_set(tmp_path)
    more: dict[str, Any] = {}
    if kind == "everything":
        teacher = write_teacher(tmp_path)
        more = {"optimizer": "@muon", "crop": [8, 4, 8], "second_pass": 0.5, "teacher": teacher}
        more |= {"spacing": 4.0, "size": [8, 8, 8], "fine_share": 0.5}
    run("mambamorph", overrides(tmp_path, "whole", epochs=3, **more))
    run("mambamorph", overrides(tmp_path, "parts", epochs=1, **more))
    run("mambamorph", overrides(tmp_path, "parts", epochs=3, resume=True, **more))
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert whole["step"] == 6 and equal(whole, parts)
    rows = [list(csv.DictReader((tmp_path / name / "log.csv").open())) for name in ("whole", "parts")]
    assert [[r["step"], r["loss"], r["val_dice"]] for r in rows[0]] == [
        [r["step"], r["loss"], r["val_dice"]] for r in rows[1]
    ]


def test_the_seed_decides_the_run(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("mambamorph", overrides(tmp_path, name, epochs=1, seed=seed))
    assert equal(state(tmp_path / "a"), state(tmp_path / "b"))
    assert not equal(state(tmp_path / "a"), state(tmp_path / "c"))


def test_two_processes_train_like_one_with_the_same_global_batch(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    options = overrides(tmp_path, "one", batch_size=2, epoch_length=4, network_def={**TINY, "dropout": 0.0})
    run("mambamorph", options)
    options.update(ckpt_dir=str(tmp_path / "two"), recipe="synth")
    for key in ("batch_size", "epoch_length"):
        options.pop(key)
    config = ConfigParser.load_config_file(str(ROOT / "bundles/mambamorph/configs/train.json"))
    config["recipes"]["synth"].update(batch_size=2, epoch_length=4)
    (tmp_path / "options.json").write_text(json.dumps({**options, "recipes": config["recipes"]}))
    configs = [ROOT / "bundles/mambamorph/configs" / name for name in ("train.json", "multi_gpu_train.json")]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=2"]
    command += ["-m", "monai.bundle", "run", "--config_file", str([str(path) for path in configs])]
    command += ["--args_file", str(tmp_path / "options.json"), "--logging_file", "False"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = state(tmp_path / "one"), state(tmp_path / "two")
    assert one["step"] == two["step"] == 4
    for key, value in one["network"].items():
        torch.testing.assert_close(two["network"][key], value, rtol=1e-4, atol=1e-6)
    assert not (tmp_path / "two" / "log_rank0.csv").exists() and (tmp_path / "two" / "log_rank1.csv").exists()


def test_all_training_files_are_one_file_but_for_the_network_and_its_recipe() -> None:
    reference = ConfigParser.load_config_file(str(ROOT / "bundles/mambamorph/configs/train.json"))
    own = {"imports", "recipes", "network_def", "image_loss"}
    for name in TRAINABLE:
        config = ConfigParser.load_config_file(str(ROOT / "bundles" / name / "configs" / "train.json"))
        assert config.keys() == reference.keys()
        assert {k: v for k, v in config.items() if k not in own} == {k: v for k, v in reference.items() if k not in own}
        inference = ConfigParser.load_config_file(str(ROOT / "bundles" / name / "configs" / "inference.json"))
        assert config["network_def"] == inference["network_def"], name
        if config["recipes"]["synth"]["rate_factors"]:
            assert parameter_groups(build_network(name, {}), config["recipes"]["synth"]["rate_factors"])
        assert config["recipe"] == "paper" and config["recipes"]["paper"].keys() == config["recipes"]["synth"].keys()

"""The bundles' train.json and its overlays, run as MONAI runs them, on a tiny network and a tiny data set."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow

from common.bundle import build_network
from common.errors import find_input_error
from common.training.initialisation import parameter_groups
from tests.bundles.conftest import read
from tests.bundles.test_alone import carry, run_alone, write_strangers
from tests.common.training.tiny import TinyNetwork, write_data_set

ROOT = Path(__file__).resolve().parents[2]
TRAINABLE = sorted(path.parent.parent.name for path in ROOT.glob("bundles/*/configs/train.json"))
TINY = {"_target_": "tests.common.training.tiny.TinyNetwork", "dropout": 0.3}
RECIPES = {"paper": ["train.json"], "synth": ["train.json", "synth.json"]}
#: What a bundle's network and its paper decide; all else is the same text in every bundle.
OWN_KEYS = {
    *("network_def", "multiple", "cube", "modalities", "contrasts", "size", "image_loss", "image_weight"),
    *("pairing", "flip_axes"),
    *("label_weight", "smooth_weight", "smooth_factor", "smooth_on", "learning_rate", "rate_power", "amsgrad", "flip"),
    *("max_gradient_norm", "epochs", "epoch_length", "batch_size", "precision"),
}

#: Sums of the absolute weights after four steps of ``overrides`` with version 0.2.0.
EXPECTED = {
    "paper": [14.4591062, 15.98862212, 0.1579116],
    "synth": [35.4756333, 0.14453094, 0.00088334],
}


def files(name: str, *configs: str) -> list[str]:
    return [str(ROOT / "bundles" / name / "configs" / config) for config in configs]


def overrides(folder: Path, runs: str, **more: Any) -> dict[str, Any]:
    """What makes a recipe small enough for a test."""
    return {
        "datalist": str(folder / "list.json"),
        "ckpt_dir": str(folder / runs),
        "device": "$torch.device('cpu')",
        "network_def": TINY,
        "multiple": 1,
        "spacing": 2.0,
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


def run(name: str, options: dict[str, Any], recipe: str = "synth") -> ConfigWorkflow:
    workflow = ConfigWorkflow(
        workflow_type="train", config_file=files(name, *RECIPES[recipe]), logging_file=False, **options
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


def command(*configs: str, options: Path, processes: int = 1) -> subprocess.CompletedProcess:
    """The stock command, in as many processes."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nnodes=1", f"--nproc_per_node={processes}"]
    words = [sys.executable, *(launch if processes > 1 else []), "-m", "monai.bundle", "run"]
    words += ["--config_file", str(files("mambamorph", *configs)), "--args_file", str(options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        words, cwd=options.parent, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def state(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "last.pt", weights_only=True)


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_and_keeps_the_zoo_s_names(tmp_path: Path, name: str, recipe: str) -> None:
    write_data_set(tmp_path)
    small = {"modalities": ["t1", "ct"], "contrasts": {"t1-ct": 1.0}} if recipe == "paper" else {}
    workflow = run(name, overrides(tmp_path, "runs", epochs=1, batch_size=1, **small), recipe)
    for key in ("train#trainer", "train#dataset#data", "train#inferer", "validate#evaluator", "val_interval"):
        assert key in workflow.parser, key
    assert workflow.check_properties() in (None, [])
    assert state(tmp_path / "runs")["step"] == 2
    assert json.loads((tmp_path / "runs" / "best.json").read_text())["epoch"] == 1
    rows = log(tmp_path / "runs")
    assert [row["step"] for row in rows] == ["1", "2", "2"] and 0 < float(rows[2]["val_dice"]) < 1
    terms = {"image": workflow.parser["image_weight"] > 0, "field": recipe == "synth", "smooth": True}
    assert {name: name in rows[0] for name in terms} == terms


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_is_that_of_version_0_2(tmp_path: Path, recipe: str) -> None:
    write_data_set(tmp_path)
    run("mambamorph", overrides(tmp_path, "runs"), recipe)
    network = state(tmp_path / "runs")["network"]
    found = [float(network[name].double().abs().sum()) for name in ("first.weight", "second.weight", "second.bias")]
    assert found == pytest.approx(EXPECTED[recipe], rel=1e-5)


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
    rows = [[{**row, "seconds": "", "cpu_seconds": ""} for row in log(tmp_path / name)] for name in ("whole", "parts")]
    assert rows[0] == rows[1]
    assert (tmp_path / "whole" / "best.pt").read_bytes() == (tmp_path / "parts" / "best.pt").read_bytes()


def test_the_seed_decides_the_run(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("mambamorph", overrides(tmp_path, name, epochs=1, seed=seed))
    assert equal(state(tmp_path / "a"), state(tmp_path / "b"))
    assert not equal(state(tmp_path / "a"), state(tmp_path / "c"))


def test_switches_are_read_as_a_shell_hands_them_over(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_data_set(tmp_path)
    text = {"amsgrad": "true", "flip": "false", "progress": "false", "initial_partial": "false", "resume": "false"}
    workflow = run("mambamorph", overrides(tmp_path, "runs", epochs=1, **text))
    assert workflow.parser.get_parsed_content("optimizer").defaults["amsgrad"] is True
    assert workflow.parser.get_parsed_content("train#dataset").augmentation.flip is False
    assert "step/s" not in capsys.readouterr().err
    run("mambamorph", overrides(tmp_path, "runs", **{**text, "resume": "true", "amsgrad": "false"}))
    assert state(tmp_path / "runs")["step"] == 4


def test_two_processes_train_like_one_with_the_same_global_batch(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    options = overrides(tmp_path, "one", batch_size=2, epoch_length=5, network_def={**TINY, "dropout": 0.0})
    run("mambamorph", {**options, "epoch_length": 4})
    path = tmp_path / "options.json"
    path.write_text(json.dumps({**options, "ckpt_dir": str(tmp_path / "two"), "logging_file": False}))
    done = command("train.json", "synth.json", "multi_gpu_train.json", options=path, processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = state(tmp_path / "one"), state(tmp_path / "two")
    assert one["step"] == two["step"] == 4
    for key, value in one["network"].items():
        torch.testing.assert_close(two["network"][key], value, rtol=1e-4, atol=1e-6)
    assert not (tmp_path / "two" / "log_rank0.csv").exists() and (tmp_path / "two" / "log_rank1.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"size": [16, 16, 8]},
            'cuts the foreground: axis 2 needs 16 voxels at 2 mm; it fits into --size "[16, 16, 16]"',
        ),
        ({"size": [16, 16, 20], "multiple": 16}, "size: this network expects three multiples of 16, got [16, 16, 20]"),
        ({"modalities": ["t1", "t2"]}, "training item s0 has no ['t2'], expected ['t1', 't2']"),
        ({"initial": "none.pt"}, "none.pt: expected a state dict written by torch.save, got:"),
        ({"resume": True}, "last.pt: expected the checkpoint of a run to resume, found none"),
        ({"datalist": "none.json"}, "none.json: expected a JSON file"),
        ({"teacher": "nowhere"}, "no bundle nowhere: expected a folder with configs/inference.json"),
        ({"device": "cuda:77"}, "device: expected one that is here, got cuda:77"),
        ({"recipe": "synth"}, "unknown option --recipe"),
        ({"lerning_rate": 0.1}, "unknown option --lerning_rate (did you mean --learning_rate?)"),
        ({"precision": "half"}, "precision: expected one of float32, bfloat16, float16, got 'half'"),
        ({"amsgrad": "maybe"}, "expected amsgrad to be true or false"),
        ({"contrasts": {"t1-pet": 1.0}}, "contrasts expects two sides such as 't1-ct'"),
        ({"pairing": "all"}, "pairing: expected one of drawn, ordered, to_atlas, from_atlas, taught, got 'all'"),
        ({"flip_axes": [3]}, "flip_axes: expected some of 0, 1 and 2, got [3]"),
        ({"aligned_by": "index"}, "aligned_by: expected world or arrays, got 'index'"),
        ({"spacing": [2.0, 2.0]}, "spacing: expected one number of mm or three, all above zero, got [2.0, 2.0]"),
    ],
)
def test_what_a_user_causes_is_said_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    write_data_set(tmp_path)
    with pytest.raises(Exception) as caught:
        run("mambamorph", {**overrides(tmp_path, "runs"), **options})
    assert message in str(find_input_error(caught.value))
    assert not (tmp_path / "runs").exists()


def test_the_command_ends_in_one_line(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    path = tmp_path / "options.json"
    path.write_text(json.dumps(overrides(tmp_path, "runs", size=[16, 16, 8])))
    done = command("train.json", "synth.json", options=path)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-2000:]
    assert done.stderr.strip().splitlines()[-1].startswith("error: the training size [16, 16, 8] cuts the foreground")


def test_a_used_folder_is_refused_and_overwritten_on_demand(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    run("mambamorph", overrides(tmp_path, "runs", seed=1))
    before = {file.name: file.read_bytes() for file in (tmp_path / "runs").iterdir() if file.is_file()}
    with pytest.raises(Exception, match="Failed to evaluate") as caught:
        run("mambamorph", overrides(tmp_path, "runs", seed=2))
    assert "holds last.pt and best.pt of another run" in str(caught.value.__cause__)
    assert {file.name: file.read_bytes() for file in (tmp_path / "runs").iterdir() if file.is_file()} == before
    options = overrides(tmp_path, "runs", seed=2, epochs=1, val_interval=5, overwrite=True)
    run("mambamorph", options)
    assert {file.name for file in (tmp_path / "runs").iterdir()} == {"last.pt", "log.csv", "tensorboard"}
    assert len(log(tmp_path / "runs")) == 2


@pytest.mark.parametrize("overlays", [("synth.json",), ("synth.json", "multi_gpu_train.json")], ids="+".join)
def test_a_bundle_with_the_library_beside_it_trains_alone(
    tmp_path: Path, overlays: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_data_set(tmp_path)
    alone = carry(ROOT / "bundles" / "mambamorph", tmp_path / "elsewhere")
    shutil.copy(ROOT / "tests" / "common" / "training" / "tiny.py", alone / "tiny_network.py")
    options = overrides(tmp_path, "runs", epochs=1, network_def={"_target_": "tiny_network.TinyNetwork"})
    (tmp_path / "options.json").write_text(json.dumps(options))
    world = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    for name, value in world.items():
        monkeypatch.setenv(name, str(value))
    configs = [str(alone / "configs" / name) for name in ("train.json", *overlays)]
    words = ("--config_file", str(configs), "--args_file", str(tmp_path / "options.json"))
    done = run_alone(*words, cwd=Path("/"), paths=(write_strangers(tmp_path / "installed"),))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count(f"the copy of {alone / 'common'}") == 1
    assert state(tmp_path / "runs")["step"] == 2


@pytest.mark.parametrize("name", TRAINABLE)
def test_all_training_files_are_one_file_but_for_the_network_and_its_paper(name: str) -> None:
    def shared(config: dict[str, Any], own: set[str]) -> list[tuple[str, str]]:
        return [(key, json.dumps(value)) for key, value in config.items() if key not in own]

    folder, first = (ROOT / "bundles" / bundle / "configs" for bundle in (name, "mambamorph"))
    train, synth, inference = (read(folder / f"{file}.json") for file in ("train", "synth", "inference"))
    assert shared(train, OWN_KEYS) == shared(read(first / "train.json"), OWN_KEYS)
    assert train.keys() >= OWN_KEYS
    for key in ("bundle_root", "installed", "code"):
        assert train[key] == inference[key], key
    assert {key: train[key] for key in ("network_def", "multiple", "cube")} == {
        key: inference[key] for key in ("network_def", "multiple", "cube")
    }
    own = {"rate_factors"}
    assert shared(synth, own) == shared(read(first / "synth.json"), own) and synth.keys() <= train.keys()
    assert (folder / "multi_gpu_train.json").read_text() == (first / "multi_gpu_train.json").read_text()
    if synth["rate_factors"]:
        assert parameter_groups(build_network(name, {}), synth["rate_factors"])

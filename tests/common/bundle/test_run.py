"""``Bundle.register``: one pair, many pairs, two bundles and two versions in one process, and what it leaves alone."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from common.bundle import Bundle
from common.errors import InputError
from tests.bundles.conftest import ROOT
from tests.bundles.conftest import pair as pair
from tests.common.training.tiny import TinyNetwork

TINY = {"_target_": "tests.common.training.tiny.TinyNetwork"}
SMALL = {
    "network_def": TINY,
    "spacing": 2.0,
    "multiple": 8,
    "passes": [1],
    "device": "cpu",
    "align": "none",
    "refine": "off",
    "keep": True,
}


def write_bundle(folder: Path, seed: int, version: str = "0.9.0") -> Path:
    """A copy of a bundle with a tiny network and weights of its own."""
    shutil.copytree(ROOT / "bundles" / "mambamorph" / "configs", folder / "configs")
    (folder / "models").mkdir()
    config = json.loads((folder / "configs" / "inference.json").read_text())
    (folder / "configs" / "inference.json").write_text(json.dumps(config | SMALL))
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata | {"version": version}))
    torch.manual_seed(seed)
    torch.save(TinyNetwork().state_dict(), folder / "models" / "model.pt")
    return folder


def field(folder: Path) -> np.ndarray:
    return np.asarray(nib.load(folder / "warp.nii.gz").dataobj)


def test_one_pair(pair, tmp_path, capfd):
    bundle = Bundle(write_bundle(tmp_path / "bundle", 1))
    assert (bundle.name, bundle.version) == ("MambaMorph", "0.9.0")
    hook, arguments = sys.excepthook, list(sys.argv)
    (result,) = bundle.register({"fixed": pair[0], "moving": pair[1]}, tmp_path / "out")
    assert result.folder == tmp_path / "out"
    names = ["moved.nii.gz", "warp.nii.gz", "jacobian.nii.gz", "transform.h5", "metrics.json"]
    assert [file.name for file in result.files] == names
    assert all(file.is_file() for file in result.files)
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    weights = bundle.root / "models" / "model.pt"
    expected = {"file": str(weights), "sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
    assert written["weights"] == result.metrics["weights"] == expected
    assert sys.excepthook is hook and sys.argv == arguments
    assert capfd.readouterr().out == ""


def test_many_pairs_and_overrides(pair, tmp_path, capfd):
    bundle = Bundle(write_bundle(tmp_path / "bundle", 1))
    pairs = [
        {"fixed": pair[0], "moving": pair[1], "name": "there"},
        {"fixed": str(pair[1]), "moving": str(pair[0]), "name": "back"},
    ]
    results = bundle.register(pairs, tmp_path / "out", passes=[1, 1], load_pretrain="false", console=True)
    assert [r.folder for r in results] == [tmp_path / "out" / "there", tmp_path / "out" / "back"]
    assert all(r.metrics["passes"] == [1, 1] and r.metrics["weights"] is None for r in results)
    assert capfd.readouterr().out.count("written to") == 2


def test_the_field_is_refined_where_asked_for(pair, tmp_path):
    bundle = Bundle(write_bundle(tmp_path / "bundle", 1))
    files = {"fixed": pair[0], "moving": pair[1]}
    plain, refined = (bundle.register(files, tmp_path / preset, refine=preset)[0].metrics for preset in ("off", "fast"))
    assert "refinement" not in plain and refined["refinement"]["preset"] == "fast"
    assert refined["refinement"]["reasons"] and refined["refinement"]["smallest_determinant"] > 0
    assert refined["similarity"]["after"]["ncc"] > plain["similarity"]["after"]["ncc"]
    with pytest.raises(InputError, match="refine: expected one of off, fast, accurate, auto, got 'quick'"):
        bundle.register(files, tmp_path / "quick", refine="quick")


def test_two_bundles_and_two_versions_in_one_process(pair, tmp_path):
    files = {"fixed": pair[0], "moving": pair[1]}
    first, second = (Bundle(write_bundle(tmp_path / f"b{n}", n, f"0.{n}.0")) for n in (1, 2))
    fields = []
    for number, bundle in enumerate((first, second, first)):
        (result,) = bundle.register(files, tmp_path / f"out{number}")
        assert result.metrics["weights"]["file"] == str(bundle.root / "models" / "model.pt")
        fields.append(field(result.folder))
    assert np.array_equal(fields[0], fields[2]) and not np.array_equal(fields[0], fields[1])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"pases": [1]}, r"unknown option --pases \(did you mean --passes\?\)"),
        ({"device": "gpu"}, "device: expected cpu, cuda"),
        ({"device": "cuda:99"}, "device: expected one that is here, got cuda:99; this machine has cpu"),
        ({"amp": "maybe"}, "amp to be true or false .*, got 'maybe'"),
        ({"passes": [0]}, "passes: expected a list of whole numbers"),
        ({"weights": "absent.pt"}, "no trained weights yet: expected absent.pt"),
        ({"fixed": "absent.nii.gz"}, "absent.nii.gz: expected an image file, got no such file"),
    ],
)
def test_mistakes_are_input_errors(pair, tmp_path, overrides, message):
    bundle = Bundle(write_bundle(tmp_path / "bundle", 1))
    given = {"fixed": pair[0], "moving": pair[1]} | {k: v for k, v in overrides.items() if k == "fixed"}
    with pytest.raises(InputError, match=message):
        bundle.register(given, tmp_path / "out", **{k: v for k, v in overrides.items() if k != "fixed"})
    assert not (tmp_path / "out").exists()


def test_no_pairs(tmp_path):
    with pytest.raises(InputError, match="nothing to register: the list of pairs is empty"):
        Bundle(write_bundle(tmp_path / "bundle", 1)).register([], tmp_path / "out")


def test_a_check_says_what_a_run_would_and_writes_nothing(pair, tmp_path):
    bundle = Bundle(write_bundle(tmp_path / "bundle", 1))
    files = {"fixed": pair[0], "moving": pair[1]}
    bundle.check(files, tmp_path / "out")
    with pytest.raises(InputError, match=r"unknown option --pases"):
        bundle.check(files, tmp_path / "out", pases=[1])
    with pytest.raises(InputError, match=r"fixed image .*gone"):
        bundle.check({**files, "fixed": str(tmp_path / "gone.nii.gz")}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a#b", "$x", "%x", "@x", "-x", "a b", "100%"])
def test_names_that_a_configuration_takes_for_something_else(pair, tmp_path, monkeypatch, name):
    bundle = Bundle(write_bundle(tmp_path / "bundle", 1))
    monkeypatch.chdir(tmp_path)
    shutil.copy(pair[0], f"{name}.nii.gz")
    (result,) = bundle.register({"fixed": f"{name}.nii.gz", "moving": pair[1]}, name)
    assert result.metrics["fixed"] == str(tmp_path / f"{name}.nii.gz")
    assert (tmp_path / name / "metrics.json").is_file()

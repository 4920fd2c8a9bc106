"""MONAI's own commands and checks on every bundle, at a small size."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import (
    ConfigParser,
    ConfigWorkflow,
    ckpt_export,
    create_workflow,
    load,
    verify_metadata,
    verify_net_in_out,
)

from common.errors import find_input_error
from tests.bundles.conftest import ROOT, read, run_stock

#: The smallest input that every bundle takes is 2 * 16 = 32 an axis: multiples of 16 and of 32, cubes.
SIZE = 32


def config(bundle):
    return str(bundle / "configs" / "inference.json")


def network_of(bundle):
    workflow = create_workflow(config_file=config(bundle), workflow_type="infer", load_pretrain=False)
    workflow.initialize()
    return workflow.network_def


def test_properties(bundle):
    workflow = create_workflow(config_file=config(bundle), workflow_type="infer", load_pretrain=False)
    assert workflow.check_properties() == []
    assert workflow.bundle_root == str(bundle)


def test_verify_metadata_offline(bundle, tmp_path):
    schema = shutil.copy(ROOT / "tools" / "schemas" / "metadata.json", tmp_path / "schema.json")
    verify_metadata(meta_file=str(bundle / "configs" / "metadata.json"), filepath=str(schema))


def test_verify_net_in_out(bundle):
    metadata = read(bundle / "configs" / "metadata.json")
    factor = int(str(metadata["network_data_format"]["inputs"]["image"]["spatial_shape"][0]).split("*")[0])
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=config(bundle),
        device="cpu",
        n=SIZE // factor,
        p=1,
    )


@pytest.mark.slow
def test_ckpt_export_gives_the_same_field(bundle, tmp_path):
    weights, exported = tmp_path / "model.pt", tmp_path / "model.ts"
    torch.save(network_of(bundle).state_dict(), weights)
    ckpt_export(
        net_id="network_def",
        filepath=str(exported),
        ckpt_file=str(weights),
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=config(bundle),
    )
    network = network_of(bundle).eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    image = torch.rand(1, 2, 64, 64, 64)
    with torch.no_grad():
        expected, scripted = network(image), torch.jit.load(exported)(image)
    torch.testing.assert_close(scripted, expected, atol=1e-3, rtol=0)


def test_the_weights_are_a_plain_state_dict_that_loads_strictly(bundle):
    weights = bundle / "models" / "model.pt"
    if not weights.exists():
        pytest.skip("this bundle has no trained weights yet, as its card says")
    state = torch.load(weights, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    network_of(bundle).load_state_dict(state, strict=True)
    assert load(bundle.name, bundle_dir=str(bundle.parent), workflow_type="inference", source="github") is not None


def test_another_copy_has_its_own_root_and_weights(tmp_path, monkeypatch):
    """Before a run as in it: MONAI's properties, its workflow and its parser; never the checkout's bundle."""
    copy = shutil.copytree(ROOT / "bundles" / "voxelmorph", tmp_path / "copy", ignore=shutil.ignore_patterns("docs"))
    own = str(copy / "models" / "model.pt")
    for workflow in (
        create_workflow(config_file=config(copy), workflow_type="infer"),
        ConfigWorkflow(config_file=config(copy), workflow_type="infer", logging_file=False),
    ):
        workflow.initialize()
        assert workflow.check_properties() == []
        assert workflow.bundle_root == str(copy)
        assert workflow.parser.get_parsed_content("weights") == own
        assert workflow.parser.get_parsed_content("code") == str(ROOT)
    monkeypatch.chdir(copy)  # a parser is told nothing of its files: MONAI's convention is the current directory
    parser = ConfigParser()
    parser.read_config("configs/inference.json")
    assert parser.get_parsed_content("weights") == own
    monkeypatch.chdir(tmp_path)
    parser.read_config("copy/configs/inference.json")
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("evaluator")
    assert "bundle_root has to be set to the bundle's folder" in str(find_input_error(caught.value))


def test_a_bundle_without_weights_says_so(pair, tmp_path):
    folder = shutil.copytree(
        ROOT / "bundles" / "mambamorph", tmp_path / "bundle", ignore=shutil.ignore_patterns("model.pt")
    )
    done = run_stock("run", "--config_file", config(folder), "--fixed", str(pair[0]), "--moving", str(pair[1]))
    assert done.returncode == 1
    assert "error: this bundle has no trained weights yet" in done.stderr.strip().splitlines()[-1]


def test_a_datalist_of_two_pairs(pair, tmp_path):
    fixed, moving = map(str, pair)
    entries = [{"fixed": fixed, "moving": moving, "name": "a"}, {"fixed": moving, "moving": fixed, "name": "b"}]
    (tmp_path / "list.json").write_text(json.dumps({"test": entries}))
    bundle = ROOT / "bundles" / "mambamorph"
    done = run_stock(
        *("run", "--config_file", config(bundle), "--datalist", str(tmp_path / "list.json")),
        *("--output_dir", str(tmp_path / "out"), "--align", "none", "--refine", "off"),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for name, image in (("a", fixed), ("b", moving)):
        moved = nib.load(tmp_path / "out" / name / "moved.nii.gz")
        assert moved.shape == nib.load(image).shape
        np.testing.assert_allclose(moved.affine, nib.load(image).affine, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pases", "[2]"], "unknown option --pases (did you mean --passes?)"),
        (["--device", "gpu"], "device: expected cpu, cuda or cuda:0 and so on, got 'gpu'"),
        (
            ["--fixed", "absent.nii.gz", "--moving", "absent.nii.gz"],
            "absent.nii.gz: expected an image file, got no such",
        ),
        (["--datalist", "absent.json"], "datalist absent.json: expected a JSON file"),
    ],
)
def test_a_mistake_ends_in_one_line(options, message, tmp_path):
    output = tmp_path / "out"
    done = run_stock(
        "run", "--config_file", config(ROOT / "bundles" / "mambamorph"), *options, "--output_dir", str(output)
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert "Traceback" not in done.stderr + done.stdout
    assert not output.exists() or not any(output.iterdir())

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import InputError
from common.networks import MambaMorph, VMambaMorph, VoxelMorph
from tests.parity import authors_weights, load_config
from tools.convert import convert
from tools.key_map import KeyMap, load_key_map

SMALL = {"embed_dim": 16, "d_state": 4, "reg_head_channels": 6, "feature_encoder": [4, 4], "feature_decoder": [4] * 4}
UNET = {"unet_encoder": [4] * 4, "unet_decoder": [4] * 6, "feature_encoder": [4, 4], "feature_decoder": [4] * 4}


def make_bundle(folder, network, **arguments):
    """Write a bundle that consists of its network only; returns its path."""
    config = {"network_def": {"_target_": f"common.networks.{network}", **arguments}}
    (folder / "toy" / "configs").mkdir(parents=True)
    (folder / "toy" / "configs" / "inference.json").write_text(json.dumps(config))
    return str(folder / "toy")


def authors_state(network):
    """Return the weights of our network under the authors' names, with a sampling grid as their code stores it."""
    table = load_key_map(type(network).__name__)
    back = KeyMap(table.network, table.source, tuple((ours, theirs) for theirs, ours in table.rows))
    state = {str(back.rename(key)): value.clone() for key, value in network.state_dict().items()}
    return {**state, "spatial_trans.grid": torch.zeros(1, 3, 16, 16, 16)}


def assert_same_weights(path, network):
    ours = network.state_dict()
    written = torch.load(path, weights_only=True)
    assert list(written) == list(ours)
    assert all(torch.equal(written[key], value) for key, value in ours.items())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"module." + key: value for key, value in state.items()},
        lambda state: {"epoch": 3, "state_dict": state, "best_dsc": np.float64(0.7), "optimizer": {"state": {}}},
        lambda state: {"config": {"inshape": [16, 16, 16]}, "model_state": state},
    ],
    ids=["bare", "module prefix", "state_dict", "model_state"],
)
def test_every_form_of_checkpoint(tmp_path, capsys, wrap):
    network = MambaMorph(**SMALL)
    torch.save(wrap(authors_state(network)), tmp_path / "authors.pt")
    convert(make_bundle(tmp_path, "MambaMorph", **SMALL), str(tmp_path / "authors.pt"), str(tmp_path / "model.pt"))
    assert_same_weights(tmp_path / "model.pt", network)
    assert "(sampling grid, recomputed): spatial_trans.grid" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.glob("*.pt*")) == ["authors.pt", "model.pt"]


def test_what_lies_beside_the_weights_is_named(tmp_path, capsys):
    state = {"epoch": 3, "state_dict": authors_state(VoxelMorph(**UNET)), "optimizer": {}}
    torch.save(state, tmp_path / "authors.pt")
    convert(make_bundle(tmp_path, "VoxelMorph", **UNET), str(tmp_path / "authors.pt"), str(tmp_path / "model.pt"))
    assert "dropped 2 (beside the weights, of use for resuming only): epoch, optimizer" in capsys.readouterr().out


def test_the_definition_names_a_variant(tmp_path):
    network = VoxelMorph(feature_extractor=True, **UNET)
    torch.save(authors_state(network), tmp_path / "authors.pt")
    bundle = make_bundle(tmp_path, "VoxelMorph", **UNET)
    convert(bundle, str(tmp_path / "authors.pt"), str(tmp_path / "model.pt"), '{"feature_extractor": true}')
    assert_same_weights(tmp_path / "model.pt", network)
    with pytest.raises(InputError, match=r"wrong shape: unet.encoder.0.0.weight is \(4, 8, 3, 3, 3\), expected \(4, 2"):
        convert(bundle, str(tmp_path / "authors.pt"), str(tmp_path / "other.pt"))
    assert not (tmp_path / "other.pt").exists()


def test_weights_that_are_never_used_are_left_out_and_counted(tmp_path, capsys):
    whole, used = VMambaMorph(**SMALL), VMambaMorph(**SMALL, unused_weights=False)
    used.load_state_dict({key: value for key, value in whole.state_dict().items() if key in used.state_dict()})
    torch.save(authors_state(whole), tmp_path / "authors.pt")
    bundle = make_bundle(tmp_path, "VMambaMorph", **SMALL)
    convert(bundle, str(tmp_path / "authors.pt"), str(tmp_path / "model.pt"), '{"unused_weights": false}')
    assert_same_weights(tmp_path / "model.pt", used)
    gone = sum(p.numel() for p in whole.parameters()) - sum(p.numel() for p in used.parameters())
    out = capsys.readouterr().out
    assert f"left out of the checkpoint: {gone:,}" in out
    assert "never used by the forward pass, and this network_def does not keep it" in out


def test_a_checkpoint_that_does_not_fit_is_refused_with_lists(tmp_path):
    state = authors_state(MambaMorph(**SMALL))
    del state["reg_head.0.bias"]
    state["c1.0.weight"] = torch.zeros(1, 2, 3, 3, 3)
    state["surprise.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "authors.pt")
    with pytest.raises(InputError) as caught:
        convert(make_bundle(tmp_path, "MambaMorph", **SMALL), str(tmp_path / "authors.pt"), str(tmp_path / "model.pt"))
    text = str(caught.value)
    assert "3 entries" in text and "--network_def" in text
    assert "missing: head.bias (3,)" in text
    assert "unexpected: surprise.weight" in text
    assert "wrong shape: skip_half.conv.weight is (1, 2, 3, 3, 3), expected (8, 8, 3, 3, 3)" in text
    assert not (tmp_path / "model.pt").exists()


class Payload:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, capsys):
    torch.save({"state_dict": {"a": torch.zeros(1)}, "config": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="more than tensors and plain values"):
        convert(make_bundle(tmp_path, "VoxelMorph", **UNET), str(tmp_path / "evil.pt"), str(tmp_path / "model.pt"))
    assert "must never run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "no checkpoint at"),
        (b"this is no checkpoint", "no checkpoint|no readable"),
        (b"", "no readable"),
        ([1, 2], "expected a state dict or a dict that holds one, got a list"),
        ({"epoch": 3}, "found the keys epoch"),
        ({}, "found the keys nothing"),
    ],
)
def test_files_that_hold_no_weights(tmp_path, content, text):
    path = tmp_path / "authors.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=text):
        convert(make_bundle(tmp_path, "VoxelMorph", **UNET), str(path), str(tmp_path / "model.pt"))


def test_unknown_bundles_and_definitions(tmp_path):
    torch.save(authors_state(VoxelMorph(**UNET)), tmp_path / "authors.pt")
    call = (str(tmp_path / "authors.pt"), str(tmp_path / "model.pt"))
    with pytest.raises(InputError, match="no bundle nowhere"):
        convert("nowhere", *call)
    bundle = make_bundle(tmp_path, "VoxelMorph", **UNET)
    with pytest.raises(InputError, match="expects a JSON object"):
        convert(bundle, *call, "{feature_extractor: False}")
    with pytest.raises(InputError, match="expects a JSON object"):
        convert(bundle, *call, "[1]")
    with pytest.raises(InputError, match="cannot be built"):
        convert(bundle, *call, '{"no_such_argument": 1}')


def test_an_output_that_cannot_be_written(tmp_path):
    torch.save(authors_state(VoxelMorph(**UNET)), tmp_path / "authors.pt")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"model.pt: expected to write this file, got: (File exists|Not a directory)"):
        convert(
            make_bundle(tmp_path, "VoxelMorph", **UNET),
            str(tmp_path / "authors.pt"),
            str(tmp_path / "file" / "model.pt"),
        )


def test_the_command_line(tmp_path):
    network = VoxelMorph(feature_extractor=True, **UNET)
    torch.save(authors_state(network), tmp_path / "authors.pt")
    command = [sys.executable, "-m", "tools", "convert", "--bundle", make_bundle(tmp_path, "VoxelMorph", **UNET)]
    command += ["--checkpoint", "authors.pt", "--output", str(tmp_path / "model.pt")]
    command += ["--network_def", '{"feature_extractor": true}']
    root = Path(__file__).resolve().parents[2]
    missing = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    assert missing.stderr.strip().splitlines()[-1] == "error: no checkpoint at authors.pt"
    assert "Traceback" not in missing.stderr
    command[command.index("authors.pt")] = str(tmp_path / "authors.pt")
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert "wrote" in done.stdout
    assert_same_weights(tmp_path / "model.pt", network)


@pytest.mark.parametrize("name", ["mambamorph_feat", "vmambamorph"])
def test_the_authors_own_names(tmp_path, name):
    config = load_config(name)
    features = name.endswith("_feat")
    network = {"mambamorph_feat": "MambaMorph", "vmambamorph": "VMambaMorph"}[name]
    torch.save(authors_weights(config), tmp_path / "authors.pt")
    bundle = make_bundle(tmp_path, network, feature_extractor=features, embed_dim=16, d_state=4, reg_head_channels=6)
    convert(bundle, str(tmp_path / "authors.pt"), str(tmp_path / "model.pt"))
    count = sum(value.numel() for value in torch.load(tmp_path / "model.pt", weights_only=True).values())
    assert count == config["parameter_count"]

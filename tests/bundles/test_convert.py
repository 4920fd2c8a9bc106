"""``python -m tools convert`` for every bundle and variant: from checkpoints as the authors write them, at full size.

No authors' weights are at hand, so the checkpoints hold random values; names and shapes are those of the authors' code:
from the key lists beside the checkout where they are, else from our own network through the inverse of its key map.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from common.bundle import build_network
from common.errors import InputError
from tests.bundles.conftest import BUNDLES
from tests.conftest import SHARED
from tools.convert import convert
from tools.key_map import KeyMap, load_key_map

State = dict[str, Tensor]


def bare(state: State) -> Any:
    """MambaMorph, VMambaMorph."""
    return state


def parallel(state: State) -> Any:
    """The same, trained on several GPUs."""
    return {f"module.{key}": value for key, value in state.items()}


def ranked(state: State) -> Any:
    """ViT-V-Net, TransMorph, PSMamba-Net: beside epoch, score and optimiser."""
    moments = {"state": {0: {"step": torch.tensor(7.0), "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}
    return {"epoch": 3, "state_dict": state, "best_dsc": 0.7, "optimizer": moments}


def configured(state: State) -> Any:
    """VoxelMorph: with the arguments of the network, without sampling grids."""
    return {"config": {"inshape": [160, 192, 224]}, "model_state": {k: v for k, v in state.items() if "grid" not in k}}


@dataclass
class Case:
    bundle: str
    keys: str  # list of the authors' names and shapes
    parameters: int
    wrap: Callable[[State], Any]
    network_def: dict[str, Any] = field(default_factory=dict)
    left_out: int = 0


NO_FEATURES = {"feature_extractor": False}
NARROW = {"unet_encoder": [16] * 4, "unet_decoder": [16] * 6}
PLAIN = {"caml": False, "rbsc": False, "carsc": False}
CASES = [
    Case("mambamorph", "mambamorph_feat.csv", 7_594_646, bare),
    Case("mambamorph", "mambamorph.csv", 7_305_459, parallel, NO_FEATURES),
    Case("vmambamorph", "vmambamorph_feat.csv", 9_641_558, bare),
    Case("vmambamorph", "vmambamorph.csv", 9_352_371, bare, NO_FEATURES),
    Case("vmambamorph", "vmambamorph_feat.csv", 9_641_558, parallel, {"passes": 2}),
    Case("transmorph", "transmorph_feat.csv", 14_572_371, bare),
    Case("transmorph", "transmorph.csv", 14_287_299, ranked, NO_FEATURES),
    Case("voxelmorph", "voxelmorph_default.csv", 327_331, configured),
    Case("voxelmorph", "voxelmorph.csv", 92_179, configured, NARROW),
    Case("voxelmorph", "voxelmorph_feat.csv", 158_166, configured, {**NARROW, "feature_extractor": True}),
    Case("psmamba_net", "psmamba.tsv", 8_408_047, ranked),
    Case("psmamba_net_diff", "psmamba_diff.tsv", 8_408_807, ranked),
    Case("vit_v_net", "vitvnet.tsv", 31_560_079, ranked),
    Case("vit_v_net", "vitvnet.tsv", 31_560_079, ranked, {"integration_steps": 7}),
    Case("xmorpher", "xmorpher.tsv", 15_093_891, bare),
    Case("xmorpher", "no list", 8_395_779, bare, {"depths": [2, 2, 2, 2], "mlp_ratio": 2.0}),
    # There are no weights of CAMLMorph; without its three additions it takes XMorpher's.
    Case("caml_morph", "xmorpher.tsv", 15_093_891, bare, {**PLAIN, "unused_weights": True}),
    Case("caml_morph", "xmorpher.tsv", 14_798_595, bare, PLAIN, left_out=295_296),
]


def _identify(case: Case) -> str:
    return "-".join([case.bundle, *case.network_def])


def _value(shape: list[int], name: str) -> Tensor:
    """Random weights; sampling grids and index tables share one number, or they would be most of the file."""
    if "num_batches_tracked" in name:
        return torch.tensor(12)
    if name.endswith((".grid", "relative_position_index")):
        return torch.zeros(1, dtype=torch.float32 if name.endswith(".grid") else torch.int64).expand(shape)
    return torch.rand(shape) + 0.5


def _listed(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Names and shapes of a key list: 96x2x4 or [96, 2, 4], with or without a header."""
    delimiter = "\t" if path.suffix == ".tsv" else ","
    for name, shape, *_ in csv.reader(path.read_text().splitlines(), delimiter=delimiter):
        if name != "key":
            yield name, [int(n) for n in re.findall(r"\d+", shape)]


def _inverted(case: Case) -> Iterator[tuple[str, list[int]]]:
    """Our own names and shapes under the authors' names, with a grid as their code stores it."""
    network = build_network(case.bundle, {**case.network_def, **({"unused_weights": True} if case.left_out else {})})
    table = load_key_map(type(network).__name__)
    back = KeyMap(table.network, table.source, tuple((ours, theirs) for theirs, ours in table.rows))
    for name, value in network.state_dict().items():
        yield str(back.rename(name)), list(value.shape)
    if table.dropped:
        yield "spatial_trans.grid", [1, 3, 160, 192, 224]


def _convert(case: Case, names: Iterator[tuple[str, list[int]]], folder: Path) -> State:
    """Write the authors' checkpoint, convert it, return their state dict."""
    state = {name: _value(shape, name) for name, shape in names}
    torch.save(case.wrap(state), folder / "authors.pt")
    convert(case.bundle, str(folder / "authors.pt"), str(folder / "model.pt"), json.dumps(case.network_def))
    return state


def _check(case: Case, state: State, folder: Path, printed: str) -> None:
    network = build_network(case.bundle, case.network_def)
    written = torch.load(folder / "model.pt", weights_only=True)
    network.load_state_dict(written, strict=True)
    assert sum(p.numel() for p in network.parameters()) == case.parameters
    assert f"parameters: {case.parameters:,}, of which" in printed
    assert f"left out of the checkpoint: {case.left_out:,}" in printed
    table, missing = load_key_map(type(network).__name__), set(written)
    for name, value in state.items():
        ours = table.rename(name)
        if table.reason_to_drop(name) is None and ours in written:
            assert torch.equal(written[ours], value), name
            missing.remove(ours)
    assert not missing


def test_every_bundle_has_a_case():
    assert {case.bundle for case in CASES} == {path.name for path in BUNDLES}


@pytest.mark.parametrize("case", CASES, ids=_identify)
def test_a_checkpoint_with_the_authors_names(case, tmp_path, capsys):
    listed = SHARED / "specs" / "keys" / case.keys
    state = _convert(case, _listed(listed) if listed.exists() else _inverted(case), tmp_path)
    _check(case, state, tmp_path, capsys.readouterr().out)


def test_names_by_the_inverse_of_the_key_map(tmp_path, capsys):
    state = _convert(CASES[9], _inverted(CASES[9]), tmp_path)
    assert "feature_extractor.encoder.0.0.main.weight" in state
    _check(CASES[9], state, tmp_path, capsys.readouterr().out)


@pytest.mark.parametrize("caml", [False, True])
@pytest.mark.parametrize("rbsc", [False, True])
@pytest.mark.parametrize("carsc", [False, True])
def test_every_setting_of_the_caml_ablation(caml, rbsc, carsc, tmp_path, capsys):
    # Narrow: the full width's counts have their own test. XMorpher's names for what is its part, ours for the rest.
    definition = {"embed_dim": 12, "depths": [1, 1, 1, 1], "caml": caml, "rbsc": rbsc, "carsc": carsc}
    unused = build_network("caml_morph", {**definition, "unused_weights": True}).parameters()
    count = sum(p.numel() for p in build_network("caml_morph", definition).parameters())
    left_out = sum(p.numel() for p in unused) - count
    assert left_out > 0
    case = Case("caml_morph", "no list", count, parallel, definition, left_out)
    state = _convert(case, _inverted(case), tmp_path)
    assert "swin.patch_embed.proj.weight" in state
    _check(case, state, tmp_path, capsys.readouterr().out)


def test_the_wrong_variant_is_refused_with_a_list(tmp_path):
    case = Case("caml_morph", "xmorpher.tsv", 0, bare)
    names = _inverted(Case("xmorpher", "xmorpher.tsv", 0, bare))
    with pytest.raises(InputError, match=r"does not fit this network .*--network_def.*\n  missing: encoder_finer"):
        _convert(case, names, tmp_path)
    assert not (tmp_path / "model.pt").exists()

import csv

import pytest

from common import networks
from common.errors import InputError
from tests.conftest import shared_path
from tools.key_map import KeyMap, load_key_map, matches

TABLE = KeyMap(
    network="Toy",
    source="nowhere",
    rows=(("up.*.main.**", "decoder.*.**"), ("up.**", "rest.**"), ("head.0.weight", "head.weight")),
    dropped=(("**.grid", "sampling grid"),),
    unused=("extra.**",),
)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("up.1.main.conv.weight", "decoder.1.conv.weight"),
        ("up.1.side.weight", "rest.1.side.weight"),
        ("head.0.weight", "head.weight"),
        ("head.0xweight", None),
        ("up", None),
    ],
)
def test_first_matching_row_renames(theirs, ours):
    assert TABLE.rename(theirs) == ours


def test_a_star_is_one_part_and_two_are_many():
    assert matches("a.*.c", "a.b.c") and not matches("a.*.c", "a.b.b.c")
    assert matches("a.**.c", "a.b.b.c") and matches("**.grid", "x.y.grid") and not matches("**.grid", "grid")


def test_dropped_and_unused_entries():
    assert TABLE.reason_to_drop("warp.grid") == "sampling grid"
    assert TABLE.reason_to_drop("head.0.weight") is None
    assert TABLE.is_unused("extra.0.weight") and not TABLE.is_unused("head.0.weight")


def test_a_network_without_table_is_refused():
    with pytest.raises(InputError, match=r"no key map for the network Nothing.*mambamorph"):
        load_key_map("Nothing")


PUBLISHED = {
    "mambamorph": ("MambaMorph", {"feature_extractor": False}),
    "mambamorph_feat": ("MambaMorph", {}),
    "vmambamorph": ("VMambaMorph", {"feature_extractor": False}),
    "vmambamorph_feat": ("VMambaMorph", {}),
    "transmorph": ("TransMorph", {"feature_extractor": False}),
    "transmorph_feat": ("TransMorph", {}),
    "voxelmorph": ("VoxelMorph", {"unet_encoder": [16] * 4, "unet_decoder": [16] * 6}),
    "voxelmorph_default": ("VoxelMorph", {}),
    "voxelmorph_feat": (
        "VoxelMorph",
        {"feature_extractor": True, "unet_encoder": [16] * 4, "unet_decoder": [16] * 6},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_entry_has_its_place(name):
    network, arguments = PUBLISHED[name]
    key_map = load_key_map(network)
    ours = {key: tuple(value.shape) for key, value in getattr(networks, network)(**arguments).state_dict().items()}
    rows = list(csv.DictReader(shared_path(f"specs/keys/{name}.csv").open()))
    weights = [row for row in rows if row["kind"] == "param"]
    mapped = {key_map.rename(row["key"]): tuple(map(int, row["shape"].split("x"))) for row in weights}
    assert len(mapped) == len(weights)
    assert mapped == ours
    assert all(key_map.reason_to_drop(row["key"]) for row in rows if row["kind"] != "param")
    assert {row["key"] for row in weights if row["used_in_forward"] == "False"} == {
        row["key"] for row in weights if key_map.is_unused(row["key"])
    }

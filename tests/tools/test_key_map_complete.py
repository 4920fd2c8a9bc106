"""Every entry of the published full-size weights of ViT-V-Net, PSMamba-Net and XMorpher has its place in ours."""

import re

import pytest

from common.networks import PSMambaNet, ViTVNet, XMorpher
from tests.conftest import shared_path
from tools.key_map import load_key_map


@pytest.mark.parametrize(
    ("sheet", "network", "arguments"),
    [
        ("vitvnet", ViTVNet, {}),
        ("psmamba", PSMambaNet, {}),
        ("psmamba_diff", PSMambaNet, {"diffeomorphic": True}),
        ("xmorpher", XMorpher, {}),
    ],
)
def test_every_published_entry_has_its_place(sheet, network, arguments):
    lines = shared_path(f"specs/keys/{sheet}.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("key\t")]
    key_map = load_key_map(network.__name__)
    kept = [row for row in rows if key_map.reason_to_drop(row[0]) is None]
    mapped = {key_map.rename(row[0]): tuple(map(int, re.findall(r"\d+", row[1]))) for row in kept}
    assert len(mapped) == len(kept)
    assert mapped == {key: tuple(value.shape) for key, value in network(**arguments).state_dict().items()}
    assert all(row[0].endswith(".grid") for row in rows if row not in kept)

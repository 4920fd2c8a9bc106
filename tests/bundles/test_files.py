"""The files of every bundle, held to the model zoo's rules and to each other."""

import configparser
import json
import re

from jsonschema import Draft7Validator

from common.bundle.register import NO_NETWORK
from tests.bundles.conftest import BUNDLES, ROOT, read

#: What may differ between two bundles' inference.json: everything else is the same text.
OWN_KEYS = {"bundle_name", "network_def", "spacing", "multiple", "cube", "shape", "passes"}
CARD_SECTIONS = (  # of the model zoo's template
    *("Authors", "Tags", "Model Description", "Data", "Preprocessing", "Performance", "Additional Usage Steps"),
    *("System Configuration", "Limitations", "Citation Info", "References"),
)


def test_there_are_bundles():
    assert "mambamorph" in [path.name for path in BUNDLES]


def test_the_schema_itself_is_valid():
    Draft7Validator.check_schema(read(ROOT / "tools" / "schemas" / "metadata.json"))


def test_metadata_follows_the_schema(bundle):
    validator = Draft7Validator(read(ROOT / "tools" / "schemas" / "metadata.json"))
    errors = [f"{'/'.join(map(str, e.path))}: {e.message}" for e in validator.iter_errors(metadata_of(bundle))]
    assert errors == []


def metadata_of(bundle):
    return read(bundle / "configs" / "metadata.json")


def test_the_version_is_in_the_changelog(bundle):
    metadata = metadata_of(bundle)
    assert metadata["version"] in metadata["changelog"]
    # MONAI orders versions as strings, so that 0.10.0 would count as older than 0.9.0
    assert all(int(part) < 10 for part in metadata["version"].split("."))


def test_versions_are_the_tested_ones(bundle):
    metadata = metadata_of(bundle)
    # Where the newest version is not for every Python: that of the oldest, which the newer ones can install as well.
    pinned = r"^([\w.-]+)==([\w.]+)(?: ; .*< '3.11'.*)?$"
    pins = dict(match.groups() for match in re.finditer(pinned, (ROOT / "constraints.txt").read_text(), re.M))
    wanted = {name: metadata[f"{key}_version"] for name, key in (("monai", "monai"), ("torch", "pytorch"))}
    wanted["numpy"] = metadata["numpy_version"]
    wanted |= metadata["required_packages_version"]
    assert {name: pins.get(name) for name in wanted} == wanted


def test_inference_differs_from_the_first_bundle_in_its_own_keys_only(bundle):
    first, this = (read(path / "configs" / "inference.json") for path in (ROOT / "bundles" / "mambamorph", bundle))
    assert this.keys() >= OWN_KEYS
    shared = [{k: v for k, v in config.items() if k not in OWN_KEYS} for config in (first, this)]
    assert shared[0] == shared[1]
    assert list(this)[: len(OWN_KEYS) + 1] == ["imports", *[k for k in this if k in OWN_KEYS]]  # special keys on top


def test_registering_without_a_network_differs_in_its_own_keys_only():
    first, none = (read(path / "configs" / "inference.json") for path in (ROOT / "bundles" / "mambamorph", NO_NETWORK))
    own = OWN_KEYS | {"load_pretrain", "refine_start"}
    assert list(none) == list(first)
    assert {k: v for k, v in none.items() if k not in own} == {k: v for k, v in first.items() if k not in own}
    assert (none["load_pretrain"], none["refine_start"], none["passes"]) == (False, "affine", [1])
    assert none["bundle_name"] == read(NO_NETWORK / "configs" / "metadata.json")["name"]


def test_names_agree(bundle):
    assert read(bundle / "configs" / "inference.json")["bundle_name"] == metadata_of(bundle)["name"]


def test_logging_is_the_same_everywhere(bundle):
    text = (bundle / "configs" / "logging.conf").read_text()
    assert text == (ROOT / "bundles" / "mambamorph" / "configs" / "logging.conf").read_text()
    configparser.ConfigParser().read_string(text)


def test_licence_card_and_weights(bundle):
    assert (bundle / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    card = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    headings = [text.strip("* ") for text in re.findall(r"^#+ (.+)$", card, re.M)]
    assert [section for section in CARD_SECTIONS if section not in headings] == []
    weights = bundle / "models" / "model.pt"
    limit = 64e6 if bundle.name == "vit_v_net" else 25e6
    assert not weights.exists() or 0 < weights.stat().st_size <= limit
    assert ("no trained weights yet" in card) != weights.exists()  # the card says what there is


def test_every_config_is_json_without_duplicate_keys(bundle):
    def unique(pairs):
        keys = [key for key, _ in pairs]
        assert len(keys) == len(set(keys)), f"duplicate keys in {keys}"
        return dict(pairs)

    for path in (bundle / "configs").glob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique)

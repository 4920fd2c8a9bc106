"""This project's own bundles: a configuration and the allow-list change together, or this says so in seconds."""

import json

import pytest

from tests.tools.registry.tiny import ROOT
from tools.validate.command import read_and_check
from tools.validate.expressions import ALLOWED

BUNDLES = sorted(path.parent.parent for path in ROOT.glob("bundles/*/configs/metadata.json"))


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_nothing_to_find_without_building_the_network(bundle):
    _, findings = read_and_check(bundle)
    errors = [str(finding) for finding in findings if finding.level == "error"]
    assert not errors, "\n".join([*errors, "if it is meant: tools/validate/allowed.json has to allow it"])


def test_the_allow_list_holds_no_expression_that_no_bundle_has():
    def texts(value):
        if isinstance(value, str):
            yield value
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from texts(inner)

    configs = [path for bundle in BUNDLES for path in bundle.glob("configs/*.json")]
    used = {text for path in configs for text in texts(json.loads(path.read_text(encoding="utf-8")))}
    assert set(ALLOWED["expressions"]) <= used, "take it out of tools/validate/allowed.json"

"""This project's own bundles: a configuration and the allow-list change together, or this says so in seconds."""

import json
import shutil

import pytest

from tests.tools.registry.tiny import ROOT, make_bundle
from tests.tools.validate.defects import gone, meta, state
from tests.tools.validate.test_defects import OUTPUT, WEIGHTS
from tools.validate.command import read_and_check, validate
from tools.validate.expressions import ALLOWED
from tools.validate.finding import read_bundle
from tools.validate.zoo import check_names, check_zoo

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


def test_names_that_contain_one_another():
    found = check_names(["dist/mambamorph_v0.1.0.zip", "bundles/vmambamorph", "bundles/voxelmorph"])
    assert list(found) == ["dist/mambamorph_v0.1.0.zip"]
    assert "vmambamorph contains this name" in found["dist/mambamorph_v0.1.0.zip"].reason


def test_the_zoos_full_mode(capsys):
    """One of them; ``make zoo-ci`` takes all nine."""
    bundle = ROOT / "bundles" / "psmamba_net"
    validate([str(bundle)], zoo=True)
    assert capsys.readouterr().out == f"{bundle}: nothing to complain about\n"


BROKEN = {
    "not the promised shape": (meta(**{f"{OUTPUT}#num_channels": 2}), "verify_net_in_out to pass, got: output"),
    "other weights": (state(lambda weights: {}), "ckpt_export to pass"),
    "no library": (lambda folder: (folder / "common" / "networks" / "__init__.py").unlink(), "verify_net_in_out"),
    "no weights": (gone(WEIGHTS), "expected this file, got none"),
}


@pytest.mark.slow
@pytest.mark.parametrize("defect", BROKEN)
def test_what_fails_in_the_zoo_is_said(defect, tmp_path):
    apply, said = BROKEN[defect]
    bundle = make_bundle(tmp_path / "tiny")
    shutil.copytree(ROOT / "common", bundle / "common", ignore=shutil.ignore_patterns("__pycache__"))
    apply(bundle)
    findings = check_zoo(bundle, read_bundle(bundle)[0])
    assert any(said in finding.reason for finding in findings), findings

"""SECURITY.md and docs/registry.md: the tests and the counts that they name are there."""

import re

from tests.house import ROOT
from tests.tools.registry.test_archive import ENTRIES
from tests.tools.registry.test_bad_servers import SERVERS
from tests.tools.registry.test_bad_trees import TREES
from tests.tools.validate.test_defects import NETWORK, STATIC


def test_every_promise_has_its_tests():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    promises = text.split("## What is not")[0].split("\n- ")[1:]
    assert len(promises) >= 6
    for promise in promises:
        named = re.findall(r"`(test_\w+\.py)?::(test_\w+)`", promise)
        assert named, promise
        file = ""
        for given, test in named:
            file = given or file
            sources = [path.read_text(encoding="utf-8") for path in ROOT.glob(f"tests/**/{file}")]
            assert any(f"\ndef {test}(" in source for source in sources), f"{file}::{test}"


def test_the_counts_are_right():
    page = (ROOT / "docs" / "registry.md").read_text(encoding="utf-8")
    refused = [entry for entry in ENTRIES if entry[2] is not None]
    for said in (
        f"{len(STATIC)} found by reading, {len(NETWORK)} in the network",
        f"{len(refused)} kinds of entries",
        f"{len(TREES)} kinds, {4 * len(TREES)} runs",
        f"| {len(SERVERS)} kinds |",
    ):
        assert said in page, said

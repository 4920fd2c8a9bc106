"""Metadata, configurations and signed descriptions with any JSON anywhere in them: findings, no traceback."""

import json
import tempfile
import zipfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from common.errors import InputError
from tests.fuzzing import ANY_JSON, changed, fuzzed
from tests.tools.registry.tiny import SOURCE, metadata
from tools.registry.entry import Entry, describe
from tools.validate.configs import check_configs
from tools.validate.finding import Contents
from tools.validate.metadata import check_metadata

CONFIG = json.loads((SOURCE / "configs" / "inference.json").read_text(encoding="utf-8"))


@fuzzed
@given(changed(metadata()), changed(CONFIG))
def test_any_json_in_a_bundle(changed_metadata, changed_config):
    files = {
        "configs/metadata.json": json.dumps(changed_metadata).encode(),
        "configs/inference.json": json.dumps(changed_config).encode(),
        "docs/README.md": b"# Authors",
    }
    bundle = Contents("tiny", "", files)
    assert all(f.reason and f.remedy for f in (*check_metadata(bundle), *check_configs(bundle)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tiny_v0.1.0.zip")
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(f"tiny/{name}", content)
        try:
            about = describe(path)
        except InputError as error:
            assert str(error)
            return
    entry = Entry.read("tiny_v0.1.0.zip", "00", 1, about)
    assert entry is not None and entry.runs_with("1.6.1") in (True, False)


@fuzzed
@given(st.text(max_size=30), ANY_JSON)
def test_any_signed_description(path, custom):
    entry = Entry.read(path, "00", 1, custom) or Entry.read("tiny_v0.1.0.zip", "00", 1, custom)
    assert entry.yanked is not None and isinstance(entry.packages, dict) and entry.runs_with("1.6.1") in (True, False)

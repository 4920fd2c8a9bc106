"""Metadata, configurations and signed descriptions with any JSON anywhere in them: findings, no traceback."""

import copy
import json
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import InputError
from tests.tools.registry.tiny import SOURCE, metadata
from tools.registry.entry import Entry, describe
from tools.validate.configs import check_configs
from tools.validate.finding import Contents
from tools.validate.metadata import check_metadata

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
LEAVES |= st.sampled_from(["$", "$@", "@a", "%b", "16*n", "**", "$(", "1.2.3", "$'" + "a" * 50])
ANY_JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))
METADATA = metadata()
CONFIG = json.loads((SOURCE / "configs" / "inference.json").read_text(encoding="utf-8"))
CASES = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def places(content, path=()):
    """Paths of all values, the whole included."""
    yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def put(content, path, value):
    if not path:
        return value
    content = copy.deepcopy(content)
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return content


CHANGED_METADATA = st.builds(put, st.just(METADATA), st.sampled_from(list(places(METADATA))), ANY_JSON)
CHANGED_CONFIG = st.builds(put, st.just(CONFIG), st.sampled_from(list(places(CONFIG))), ANY_JSON)


def judge(tmp_path, changed_metadata, changed_config):
    files = {
        "configs/metadata.json": json.dumps(changed_metadata).encode(),
        "configs/inference.json": json.dumps(changed_config).encode(),
        "docs/README.md": b"# Authors",
    }
    bundle = Contents("tiny", "", files)
    assert all(f.reason and f.remedy for f in (*check_metadata(bundle), *check_configs(bundle)))
    path = tmp_path / "tiny_v0.1.0.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"tiny/{name}", content)
    try:
        about = describe(path)
    except InputError as error:
        assert str(error)
        return
    entry = Entry.read(path.name, "00", 1, about)
    assert entry is not None and entry.runs_with("1.6.1") in (True, False)


@settings(max_examples=150, **CASES)
@given(CHANGED_METADATA, CHANGED_CONFIG)
def test_any_json_anywhere(tmp_path, changed_metadata, changed_config):
    judge(tmp_path, changed_metadata, changed_config)


@pytest.mark.slow
@settings(max_examples=10_000, **CASES)
@given(CHANGED_METADATA, CHANGED_CONFIG)
def test_any_json_anywhere_ten_thousand_times(tmp_path, changed_metadata, changed_config):
    judge(tmp_path, changed_metadata, changed_config)


@settings(max_examples=200, **CASES)
@given(st.text(max_size=30), ANY_JSON)
def test_any_signed_description(path, custom):
    entry = Entry.read(path, "00", 1, custom) or Entry.read("tiny_v0.1.0.zip", "00", 1, custom)
    assert entry.yanked is not None and isinstance(entry.packages, dict) and entry.runs_with("1.6.1") in (True, False)

"""The list of keys is complete: read from the sources of the pipeline and from a run."""

import ast
from pathlib import Path

import numpy as np

import common.evaluation.workflow
import common.registration as registration
from common.images import save_volume
from common.registration.keys import KEYS, PATH_KEYS
from tests.common.registration.phantom import WavyNetwork, centred_affine, make_image
from tests.common.registration.pipeline import register

SOURCES = [*Path(registration.__file__).parent.glob("*.py"), Path(common.evaluation.workflow.__file__)]
#: What the dictionary of a pair is called there.
PAIR = {"data", "out", "output", "pair"}


def used(path: Path) -> set[str]:
    """Keys that a source takes from or puts into a pair's dictionary by name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Subscript):
            holder, key = node.value, node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            holder, key = node.func.value, node.args[0]
        else:
            continue
        if isinstance(holder, ast.Name) and holder.id in PAIR and isinstance(key, ast.Constant):
            found.add(key.value)
    return {key for key in found if isinstance(key, str)}


def test_every_key_that_the_sources_name_is_listed():
    found = {key for path in SOURCES for key in used(path)}
    assert {"image", "ddf", "alignment", "record"} <= found
    assert found <= set(KEYS)


def test_every_key_says_who_writes_and_who_reads_it():
    assert all(key.value and key.writer and key.readers for key in KEYS.values())
    assert set(PATH_KEYS) == {name for name, key in KEYS.items() if key.value.startswith("path")}


def test_every_key_of_a_run_is_listed(tmp_path):
    shape = (26, 29, 23)
    paths = {role: str(make_image(tmp_path / f"{role}.nii", shape=shape)) for role in ("fixed", "moving")}
    for role in ("fixed", "moving"):
        label = tmp_path / f"{role}_label.nii"
        save_volume(np.arange(np.prod(shape)).reshape(shape) % 3, centred_affine(shape), label, np.uint8)
        paths[f"{role}_label"] = str(label)
    pair = {**paths, "name": "one", "kind": "same"}
    state = register(tmp_path / "out", WavyNetwork(), {"datalist": [pair]}).state
    keys = {*state.batch[0], *state.output[0]} - {"label"}  # MONAI's evaluator adds it
    assert keys <= set(KEYS)
    unused = set(KEYS) - keys
    assert unused == {
        *(
            "fixed_keypoints",
            "moving_keypoints",
            *("fixed_points", "moving_points", "true_field", "initial"),
            "alignment",
            "alignment_figures",
            "record",
            "refinement",
            *("quality", "quality_figures", "fallback"),
        ),
        *(f"{role}_{kind}" for role in ("fixed", "moving") for kind in ("mask", "exclude")),
        *("brain_figures", "counted", "moving_whole", "moving_whole_background"),
        *("fixed_foreground", "moving_foreground"),  # taken away by ToNetworkGridd
    }

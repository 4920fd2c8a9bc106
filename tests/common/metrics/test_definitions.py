import re

import pytest

from common.evaluation.tables import COSTS
from common.metrics.definitions import EVALUATION, RUN, SHARED, definitions
from common.registration.measures import BINS, PROTOCOL
from tests.common.registration.phantom import WavyNetwork, make_image
from tests.common.registration.pipeline import metrics_of, register
from tools.benchmark.report import _COLUMNS


def test_no_two_scores_share_a_name_or_a_definition():
    tables = (SHARED, RUN, EVALUATION)
    names = [name for table in tables for name in table]
    assert len(names) == len(set(names))
    lines = [line for table in tables for line in definitions(table).values()]
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("name", SHARED | RUN | EVALUATION)
def test_a_definition_is_complete(name):
    score = (SHARED | RUN | EVALUATION)[name]
    assert score.better in ("higher", "lower", "")
    assert score.unit and score.text
    if match := re.search("_(mm|voxel|percent|seconds)(_|$)", name):
        assert score.unit == {"mm": "mm", "voxel": "voxels", "percent": "%", "seconds": "s"}[match[1]]


def test_names_of_other_scores_in_a_text_are_right():
    everything = SHARED | RUN | EVALUATION
    for score in everything.values():
        assert set(re.findall(r"[a-z]\w*_\w+", score.text)) <= set(everything), score.text


def test_every_figure_of_a_run_is_defined(tmp_path):
    make_image(tmp_path / "f.nii")
    make_image(tmp_path / "m.nii", deform=1.0)
    register(tmp_path / "out", WavyNetwork(), {"fixed": str(tmp_path / "f.nii"), "moving": str(tmp_path / "m.nii")})
    metrics = metrics_of(tmp_path / "out")
    figures = {*metrics["field"], *metrics["similarity"]["after"], "stage_seconds", "peak_memory_mb"}
    figures |= {*metrics["transforms"]} - {"field_spacing_mm"}  # an option
    assert figures <= set(metrics["protocol"])
    assert figures <= set(SHARED | RUN)
    assert set(SHARED | RUN) - figures == {"dice", "tre_mm", "points_mm", "inverse_residual"}  # where they can be
    assert f"{BINS}x{BINS}" in PROTOCOL["mutual_information"]


def test_every_column_of_the_benchmark_is_defined():
    assert set(_COLUMNS) - {"method", "pairs"} <= set(SHARED | EVALUATION)
    assert set(COSTS) <= set(SHARED | EVALUATION)

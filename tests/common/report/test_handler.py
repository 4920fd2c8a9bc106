"""The report at the end of a run."""

import sys

import pytest

from common.errors import InputError
from common.report import ReportWriter
from tests.common.registration.phantom import WavyNetwork, make_image
from tests.common.registration.pipeline import register

pytest.importorskip("matplotlib")


@pytest.fixture
def pairs(tmp_path):
    return {
        "fixed": str(make_image(tmp_path / "f.nii.gz")),
        "moving": str(make_image(tmp_path / "m.nii.gz", deform=2.0)),
    }


@pytest.mark.parametrize("wanted", [True, "yes", False, "false"])
def test_a_report_is_written_where_it_is_wanted(tmp_path, pairs, wanted):
    evaluator = register(tmp_path / "out", WavyNetwork(), pairs, handlers=[ReportWriter(wanted)])
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert ({"report.html", "report.png"} <= written) == (wanted in (True, "yes"))
    (output,) = evaluator.state.output
    assert sorted(file.rpartition("/")[2] for file in output["output_files"]) == sorted(written)
    assert output["output_files"][-1].endswith("metrics.json")


def test_an_older_report_does_not_stay_beside_new_results(tmp_path, pairs):
    register(tmp_path / "out", WavyNetwork(), pairs, handlers=[ReportWriter(True)])
    register(tmp_path / "out", WavyNetwork(1.0), pairs)
    assert not list((tmp_path / "out").glob("report.*"))


def test_an_evaluation_has_none():
    engine = type("Engine", (), {"state": type("State", (), {"output": [{"record": {}}]})})
    with pytest.raises(InputError, match="report: expected a run that writes results"):
        ReportWriter(True).write(engine)


def test_without_matplotlib_the_run_does_not_begin(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    ReportWriter(False)
    with pytest.raises(InputError, match="pip install matplotlib"):
        ReportWriter(True)

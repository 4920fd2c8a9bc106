"""``make registry-demo`` on the tiny bundle: the whole way, and where it ends when a step fails."""

import subprocess
import sys

import pytest

from common.errors import InputError
from tests.tools.registry.tiny import ROOT, make_bundle
from tools.registry import demo


@pytest.mark.slow
def test_the_whole_way(tmp_path, capfd, monkeypatch):
    """All but the run itself, which the tests of bundles that stand alone have."""
    ran = []
    monkeypatch.setattr(demo, "_run", lambda bundle, output: ran.append((bundle.name, output.name)))
    demo.main([str(make_bundle(tmp_path / "tiny", "0.1.0"))])
    shown = capfd.readouterr().out
    steps = [line.partition(" -m ")[2].split() for line in shown.splitlines() if line.startswith("$ python")]
    assert [" ".join(step[:3]) for step in steps if step[0] == "tools"][1:] == [
        *("tools registry init", "tools registry add", "tools registry trust", "tools download tiny", "tools verify"),
    ]
    assert "$ diff -rq" in shown and "Only in" not in shown  # MONAI's client brought the same files
    assert "tiny 0.1.0: whole, as installed" in shown
    assert ran == [("tiny", "tiny")]


def test_a_step_that_fails_ends_it(tmp_path, capfd):
    with pytest.raises(InputError, match="the step above failed"):
        demo.main([str(tmp_path / "none")])
    assert "no bundle" in capfd.readouterr().err


def test_a_bundle_does_not_run_alone_where_this_project_can_be_imported():
    command = [sys.executable, "-S", "-c", demo._ALONE, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "this project can be imported here" in done.stderr

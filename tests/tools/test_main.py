"""The dispatcher: usage, unknown commands, one line for a mistake."""

import subprocess
import sys

from tests.bundles.conftest import ROOT
from tools.__main__ import COMMANDS


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tools", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )


def test_usage_lists_every_command():
    done = run("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)


def test_an_unknown_command_is_refused():
    done = run("nonsense")
    assert done.returncode == 2
    assert "usage: python -m tools <command>" in done.stdout


def test_a_mistake_ends_in_one_line():
    done = run("convert", "--bundle", "mambamorph", "--checkpoint", "absent.pt", "--output", "out.pt")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "absent.pt" in done.stderr
    assert "Traceback" not in done.stderr

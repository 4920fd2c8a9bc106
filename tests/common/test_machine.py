import os
import shlex
import subprocess
import sys

import numpy as np
import pytest

from common.machine import peak_memory_mb, processor, versions


def test_versions_of_what_is_installed():
    found = versions(["python", "no-such-package", "numpy"])
    assert found == {"python": sys.version.split()[0], "numpy": np.__version__}


def test_the_processor_has_a_name():
    assert processor()
    assert "\n" not in processor()


def run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_peak_memory_grows_with_what_is_held():
    program = (
        "from common.machine import peak_memory_mb as peak\n"
        "before = peak(); held = bytearray(200_000_000); print(peak() - before)"
    )
    assert 150 < float(run(program)) < 250


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux's mark")
def test_peak_memory_is_not_that_of_the_starting_process():
    held = bytearray(300_000_000)
    mine = float(run("from common.machine import peak_memory_mb; print(peak_memory_mb())"))
    assert mine < peak_memory_mb() - 100, len(held)


def test_without_the_resource_module_and_proc():
    """Windows has neither: everything imports, and the peak is not known."""
    program = (
        "import sys, pathlib; sys.modules['resource'] = None\n"
        "import common.machine as machine, common.registration, common.evaluation, tools.benchmark.peers.worker\n"
        "machine.Path = lambda path: pathlib.Path('/nothing')\n"
        "print(machine.peak_memory_mb())"
    )
    assert run(program) == "nan"


def test_the_command_can_be_pasted():
    command = [sys.executable, "-c", "from common.machine import command_line; print(command_line())", "a b", "$HOME"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert shlex.split(printed) == command

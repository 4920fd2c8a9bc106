"""The command line as a whole: what it lists, how it calls, and how it ends."""

import json
import os
import subprocess
import sys

import pytest

import common
from tests.bundles.conftest import ROOT
from tools import __main__ as door
from tools.__main__ import COMMANDS, _targets, main

EXAMPLES = {"example": "tests.tools.example:example", "group": {"open": "tests.tools.example:open_ended"}}


def run(*words: str, program: str = "-mtools") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, program, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture
def call(monkeypatch, capsys):
    """Run words on the example commands in this process: exit code, what was printed, and the errors."""
    monkeypatch.setattr(door, "COMMANDS", EXAMPLES)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))  # main replaces both

    def called(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["/somewhere/tools/__main__.py", *words])
        code = main()
        return code, *capsys.readouterr()

    return called


def test_help_lists_every_command_with_what_it_does_and_imports_no_library():
    program = "import sys; from tools.__main__ import main; sys.argv[1:] = ['--help']; code = main(); "
    program += "print(*sorted(sys.modules)); sys.exit(code)"
    done = run(program, program="-c")
    *lines, modules = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == ""
    assert all(any(line.startswith(f"  {name}  ") for line in lines) for name in dict(_targets("", COMMANDS)))
    assert not {"torch", "numpy", "monai", "numba", "itk", "fire"} & set(modules.split())


def test_downloads_start_without_the_libraries_of_networks():
    modules = ("tools.download", "tools.installed", "tools.package", "tools.registry.publish", "tools.registry.mirror")
    program = f"import sys, {', '.join(modules)}; from tools.registry.settings import bundle_folder; bundle_folder(); "
    done = run(program + "print(*sorted(sys.modules))", program="-c")
    assert done.returncode == 0, done.stderr
    assert not {"torch", "numpy", "monai", "numba", "itk"} & set(done.stdout.split())


@pytest.mark.parametrize("words", [("convert",), ("benchmark", "registration"), ("benchmark", "scan")])
def test_every_command_has_help(words):
    done = run(*words, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"usage: python -m tools {' '.join(words)} ")


def test_a_mistake_ends_in_one_line():
    done = run("convert", "--bundle", "mambamorph", "--checkpoint", "absent.pt", "--output", "out.pt")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "absent.pt" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_nobody_reads_the_output():
    process = subprocess.Popen(
        [sys.executable, "-m", "tools", "--help"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.wait(timeout=300) == 0 and process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_output_that_is_lost_is_told():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tools", "--help"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "error: not all output could be written: [Errno 28] No space left on device\n"


def test_fire_calls_with_values_as_they_were_written(call):
    code, printed, _ = call("example", "20240102", "--output=a#b", "--voxels", "no", "--passes", "[2]", "--no-resume")
    wanted = {"image": "20240102", "output": "a#b", "voxels": False, "threads": 1, "spacing": None, "passes": [2]}
    assert code == 0 and json.loads(printed) == wanted | {"methods": "all", "table": None, "resume": False}
    code, printed, _ = call("group", "open", "a", "--network_def#rbsc", "false", "--text", "2 3")
    assert code == 0 and json.loads(printed) == {"image": "a", "network_def#rbsc": False, "text": "2 3"}


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ((), 2, "usage: python -m tools COMMAND [options]"),
        (("group",), 2, "usage: python -m tools group COMMAND [options]"),
        (("exmaple",), 2, "error: unknown command exmaple (did you mean example?)"),
        (("group", "shut"), 2, "error: unknown command group shut: expected one of open"),
        (("--verison",), 2, "error: unknown command --verison: expected one of example, group"),
        (("example",), 2, "error: example needs --image; python -m tools example --help says more"),
        (("example", "absent"), 1, "error: expected an image, got none: absent"),
    ],
)
def test_a_wrong_call_ends_in_one_line_and_its_code(call, words, code, text):
    found, printed, said = call(*words)
    assert (found, printed) == (code, "")
    assert said.splitlines()[0] == text and "Traceback" not in said
    assert len(said.splitlines()) == 1 or said.startswith("usage")


def test_help_and_version(call):
    for words in (["--version"], ["example", "--version"], ["group", "--version"]):
        assert call(*words) == (0, f"registration-bundles {common.__version__}\n", "")
    assert call("group", "--help")[1].startswith("usage: python -m tools group COMMAND")
    assert call("example", "--voxels", "-h")[1].startswith("usage: python -m tools example IMAGE [options]")


def test_an_interruption_has_its_code(call, monkeypatch):
    def interrupted(words):
        raise KeyboardInterrupt

    monkeypatch.setattr(door, "_run", interrupted)
    assert call("example") == (130, "", "interrupted\n")


def test_a_defect_keeps_its_traceback(call, monkeypatch):
    monkeypatch.setattr(door, "_run", lambda words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call("example")

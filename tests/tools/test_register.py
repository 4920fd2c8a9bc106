"""The first command of use: its options are the keys of ``inference.json``, and a plan writes nothing."""

import ast
import json
import re
import sys

import pytest

from tests.bundles.conftest import ROOT, read
from tests.bundles.conftest import pair as pair
from tests.common.bundle.test_run import write_bundle
from tools.__main__ import COMMANDS, main
from tools.command import read_command

COMMAND = read_command("register", COMMANDS["register"])
CONFIG = read(ROOT / "bundles" / "mambamorph" / "configs" / "inference.json")
#: Keys of a run that are no options of the command: what a configuration is made of, and lists of pairs.
OTHERS = {"imports", "bundle_name", "network_def", "multiple", "cube", "shape", "datalist", "resume", "overlap"}
OWN = {"bundle", "threads", "plan"}


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command in this process: exit code, what was printed, and the errors."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))  # main replaces both

    def called(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["/somewhere/tools/__main__.py", "register", *map(str, words)])
        code = main()
        return code, *capsys.readouterr()

    return called


def user_keys() -> set[str]:
    """Keys that stand before the paths of a configuration: those that a user sets."""
    keys = list(CONFIG)
    return set(keys[: keys.index("bundle_root")]) - OTHERS


def test_every_key_that_a_user_sets_is_an_option():
    assert {option.name for option in COMMAND.options} - OWN == user_keys()


def test_defaults_are_those_of_the_configuration_or_leave_it():
    for option in COMMAND.options:
        if option.name in CONFIG and option.default not in (None, "None"):
            default = ast.literal_eval(option.default)
            assert (list(default) if isinstance(default, tuple) else default) == CONFIG[option.name], option.name


def test_help_has_its_pages_below_the_options():
    page = COMMAND.help()
    titles = re.findall(r"^([A-Z][a-z]+):$", page, re.MULTILINE)
    assert titles == ["Transforms", "Formats", "Environment", "Examples", "References"]
    assert page.index("--plan") < page.index("\nTransforms:")
    assert "\n  - register --fixed t1.nii.gz --moving ct.nii.gz --output_dir result --plan\n" in page


def test_a_run_writes_what_the_plan_says(call, pair, tmp_path):
    bundle, out = write_bundle(tmp_path / "bundle", 1), tmp_path / "out"
    words = ["--fixed", pair[0], "--moving", pair[1], "--output_dir", out, "--bundle", bundle, "--device", "cpu"]
    (tmp_path / "marks.csv").write_text("x,y,z\n0,-30,35\n")
    words += ["--align", "none", "--refine", "off", "--outputs", "transform,disp", "--points", tmp_path / "marks.csv"]
    code, printed, _ = call(*words, "--plan")
    assert code == 0 and not out.exists()
    lines = printed.splitlines()
    assert lines[0].startswith("fixed: fixed.nii.gz, 40x44x36 voxels of 1.2x1.1x1.3 mm, RAS, values 0 to ")
    assert lines[1].startswith("moving: moving.nii.gz, 40x44x36 voxels of 1.2x1.1x1.3 mm, LAI, values 0 to ")
    assert {"alignment: switched off", "refinement: off", "nothing was written"} <= set(lines)
    assert any(re.match(r"network: MambaMorph on \d+x\d+x\d+ voxels, a look at 2 mm", line) for line in lines)
    assert any(re.match(r"an estimate: \d+ s on .* GB of memory", line) for line in lines)
    named = next(line for line in lines if line.startswith("files in")).partition(": ")[2].split(", ")
    code, printed, _ = call(*words, "--threads", 1)
    assert code == 0 and "written to" in printed
    assert {path.name for path in out.iterdir()} == set(named)
    assert json.loads((out / "metrics.json").read_text())["network"] == "MambaMorph"
    assert "moved_points.csv" in named and (out / "moved_points.csv").read_text().startswith("x,y,z\n")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--fixed", "a.nii"], 2, "error: register needs --moving, --output_dir"),
        (["--fixd", "a.nii"], 2, "error: unknown option --fixd (did you mean --fixed?)"),
        (["a.nii", "b.nii", "out"], 1, "a.nii: expected an image file, got no such file"),
        (["a.nii", "b.nii", "out", "--plan"], 1, "a.nii: expected an image file, got no such file"),
        (["a.nii", "b.nii", "out", "--bundle", "mambamorf"], 1, "error: no bundle mambamorf: expected a folder"),
        (["a.nii", "b.nii", "out", "--align", "yes"], 1, "expected"),
    ],
)
def test_mistakes_end_in_one_line_and_their_code(call, tmp_path, monkeypatch, words, code, text):
    monkeypatch.chdir(tmp_path)
    found, printed, said = call(*words)
    assert (found, printed) == (code, "")
    assert text in said and len(said.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())

"""Broken and hostile bundles, one defect each: every one is found, at its file and key, and nothing of it runs."""

import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest

from common.errors import InputError
from tests.tools.registry.tiny import make_bundle
from tests.tools.validate.defects import (
    Runs,
    RunsString,
    config,
    gone,
    meta,
    pickled,
    replaced,
    rezipped,
    state,
    write,
)
from tools.package import pack
from tools.validate import command
from tools.validate.network import examine

META, CONFIG, CARD, WEIGHTS = "configs/metadata.json", "configs/inference.json", "docs/README.md", "models/model.pt"
OUTPUT = "network_data_format#outputs#pred"
HANDLERS = "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=\n[logger_root]\nhandlers=h\n[handler_h]\n"

#: defect -> (what is done, file, what is said)
STATIC = {
    # files
    "no licence": (gone("LICENSE"), "LICENSE", "expected this file"),
    "short licence": (write("LICENSE", "MIT"), "LICENSE", "expected a licence's text"),
    "no metadata": (gone(META), META, "expected this file"),
    "no inference": (gone(CONFIG), CONFIG, "expected this file"),
    "no card": (gone(CARD), CARD, "expected this file"),
    "card without a section": (replaced(CARD, "Limitations", "Further"), CARD, "expected this section"),
    "card not in UTF-8": (write(CARD, b"\xff\xfe"), CARD, "expected UTF-8"),
    "card that denies weights": (
        lambda folder: (folder / CARD).write_text((folder / CARD).read_text() + "\nno trained weights yet\n"),
        CARD,
        "expected the truth on weights",
    ),
    "card that pretends weights": (gone(WEIGHTS), CARD, "expected the truth on weights"),
    "stray file": (write("setup.py", "x"), "setup.py", "on top, got this"),
    "stray folder": (write("data/a.json", "{}"), "data/a.json", "expected the folders"),
    "program": (write("models/run.sh", "x"), "models/run.sh", "a program or a pickle"),
    "pickle": (write("models/stats.pkl", "x"), "models/stats.pkl", "a program or a pickle"),
    "wrong suffix": (write("configs/notes.txt", "x"), "configs/notes.txt", "in configs, got another"),
    "hidden file": (write(".env", "x"), ".env", "got a hidden one"),
    "empty file": (write("docs/a.png", ""), "docs/a.png", "got an empty file"),
    "link": (lambda folder: (folder / "docs" / "a.md").symlink_to("/etc/passwd"), "docs/a.md", "got a link"),
    # metadata
    "metadata no JSON": (write(META, "{"), META, "expected strict JSON"),
    "metadata a list": (write(META, "[]"), META, "expected an object"),
    "metadata deep": (write(META, "[" * 100_000), META, "expected strict JSON"),
    "key twice": (write(META, '{"version": "1", "version": "2"}'), META, "stands twice"),
    "NaN": (write(META, '{"version": NaN}'), META, "NaN is no JSON"),
    "no version": (meta(version=None), META, "'version' is a required property"),
    "version a word": (meta(version="latest"), META, "got: 'latest'"),
    "version a number": (meta(version=0.1), META, "got: 0.1"),
    "version not in changelog": (meta(version="0.2.0"), META, "expected an entry for 0.2.0"),
    "no monai version": (meta(monai_version=None), META, "'monai_version' is a required property"),
    "local version": (meta(pytorch_version="2.13.0+cpu"), META, "no index has \\+cpu"),
    "deprecated packages": (meta(optional_packages_version={}), META, "got: "),
    "accelerator required": (meta(required_packages_version={"mamba-ssm": "2.2.0"}), META, "got: "),
    "no licences": (meta(licenses=None), META, "'licenses' is a required property"),
    "no references": (meta(references=[]), META, "got: "),
    "no network_data_format": (meta(network_data_format=None), META, "is a required property"),
    "one channel": (meta(**{"network_data_format#inputs#image#num_channels": 1}), META, "2 was expected"),
    "wrong channel order": (
        meta(**{"network_data_format#inputs#image#channel_def": {"0": "fixed", "1": "moving"}}),
        META,
        "got: ",
    ),
    "no displacement": (meta(**{f"{OUTPUT}#type": "image"}), META, "'displacement' was expected"),
    "code in a shape": (
        meta(**{f"{OUTPUT}#spatial_shape": ["__import__('os')", "n", "n"]}),
        META,
        "expected numbers, n, p",
    ),
    "unknown letter in a shape": (
        meta(**{f"{OUTPUT}#spatial_shape": ["16*m", "n", "n"]}),
        META,
        "expected numbers, n, p",
    ),
    # configurations
    "config no JSON": (write(CONFIG, "not json"), CONFIG, "expected strict JSON"),
    "config a list": (write(CONFIG, "[]"), CONFIG, "expected an object"),
    "no network_def": (config(network_def=None), CONFIG, "expected this key"),
    "no run": (config(run=None), CONFIG, "expected this key"),
    "target os.system": (config(extra={"_target_": "os.system", "command": "x"}), CONFIG, "got os.system"),
    "target eval": (config(extra={"_target_": "builtins.eval"}), CONFIG, "got builtins.eval"),
    "target a number": (config(extra={"_target_": 3}), CONFIG, "got 3"),
    "target an expression": (config(extra={"_target_": "$eval"}), CONFIG, r"got \$eval"),
    "private target": (config(extra={"_target_": "common.networks.trunk._x"}), CONFIG, r"trunk\._x"),
    "target in depth": (config(extra=[{"a": [{"_target_": "subprocess.run"}]}]), CONFIG, "got subprocess.run"),
    "debugger": (config(extra={"_target_": "Compose", "_mode_": "debug"}), CONFIG, "expected default or callable"),
    "expression eval": (config(extra="$eval('1')"), CONFIG, "got eval"),
    "expression import": (config(extra="$__import__('os').system('x')"), CONFIG, "got __import__"),
    "expression dunder": (config(extra="$().__class__.__bases__[0].__subclasses__()"), CONFIG, "got .*subclasses"),
    "dunder of a reference": (config(extra="$@device.__class__"), CONFIG, "got reference__.__class__"),
    "expression lambda": (config(extra="$(lambda: 1)()"), CONFIG, "got .*lambda"),
    "expression comprehension": (config(extra="$[x for x in range(9)]"), CONFIG, "got ListComp"),
    "expression walrus": (config(extra="$(x := 1)"), CONFIG, "got NamedExpr"),
    "expression f-string": (config(extra="$f'{open}'"), CONFIG, "got JoinedStr"),
    "expression torch.load": (config(extra="$torch.load('x')"), CONFIG, "got torch.load"),
    "expression torch.hub": (config(extra="$torch.hub.load('a', 'b')"), CONFIG, "got torch.hub.load"),
    "expression no Python": (config(extra="$1 +"), CONFIG, "expected Python"),
    "two statements": (config(extra="$1; 2"), CONFIG, "got several statements"),
    "assignment": (config(extra="$a = 1"), CONFIG, "got Assign"),
    "foreign import": (config(imports=["$import subprocess"]), CONFIG, "got import subprocess"),
    "import under another name": (config(imports=["$import os as dist2"]), CONFIG, "got dist2"),
    "from import": (config(imports=["$from os import system"]), CONFIG, "got ImportFrom"),
    "common in imports": (config(imports=["$import common.bundle"]), CONFIG, "expected common in run alone"),
    "common in initialize": (config(initialize=["$common.bundle.begin()"]), CONFIG, "expected common in run alone"),
    "common target in initialize": (
        config(initialize=[{"_target_": "common.bundle.begin", "bundle_root": "."}]),
        CONFIG,
        "expected common in run alone",
    ),
    "macro out of the bundle": (config(extra="%../../x.json::a"), CONFIG, "expected a macro of this bundle"),
    "YAML object": (
        write("configs/a.yaml", "a: !!python/object/apply:os.getcwd []"),
        "configs/a.yaml",
        "YAML without",
    ),
    "logging code": (
        write("configs/logging.conf", HANDLERS + "class=StreamHandler\nargs=(__import__('os'),)\n"),
        "configs/logging.conf",
        "expected handlers that write",
    ),
    "logging to a file": (
        write("configs/logging.conf", HANDLERS + "class=FileHandler\nargs=('/tmp/x',)\n"),
        "configs/logging.conf",
        "expected handlers that write",
    ),
    "logging no ini": (write("configs/logging.conf", "x"), "configs/logging.conf", "expected a logging configuration"),
    # weights
    "weights no zip": (write(WEIGHTS, b"x" * 100), WEIGHTS, "expected a file that torch.save wrote"),
    "weights cut": (
        lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-500]),
        WEIGHTS,
        "expected a file that torch.save wrote",
    ),
    "weights deflated": (rezipped(lambda files: files, zipfile.ZIP_DEFLATED), WEIGHTS, "expected stored entries"),
    "weights with code": (rezipped(lambda f: {**f, "m/code/a.py": b"x"}), WEIGHTS, "got TorchScript code"),
    "weights with more": (rezipped(lambda f: {**f, "m/extra": b"x"}), WEIGHTS, "expected the entries of a state dict"),
    "weights in two folders": (
        rezipped(lambda f: {**f, "o/data/0": b"x"}),
        WEIGHTS,
        "each entry once and in one folder",
    ),
    "weights without pickle": (
        rezipped(lambda f: {k: v for k, v in f.items() if "pkl" not in k}),
        WEIGHTS,
        "expected data.pkl",
    ),
    "pickle that runs": (pickled(Runs()), WEIGHTS, "got a call of posix system"),
    "pickle that runs, protocol 4": (pickled(Runs(), 4), WEIGHTS, "opcode STACK_GLOBAL"),
    "pickle that runs text": (pickled(RunsString()), WEIGHTS, "got a call of numpy.testing"),
    "pickle of an object": (pickled(Path("a")), WEIGHTS, "got a call of pathlib"),
    "pickle cut": (rezipped(lambda f: {**f, "m/data.pkl": f["m/data.pkl"][:-20]}), WEIGHTS, "expected a pickle"),
}


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "tiny")


@pytest.mark.parametrize("defect", STATIC)
def test_found_without_running_anything(defect, bundle, monkeypatch):
    def never(*words, **more):
        raise AssertionError("the bundle's network was built")

    apply, file, said = STATIC[defect]
    apply(bundle)
    monkeypatch.setattr(command, "check_network", never)
    findings = [finding for finding in command.check(bundle) if finding.level == "error"]
    assert findings
    with pytest.raises(InputError, match="1 of 1 bundles have errors"):
        command.validate([str(bundle)])
    assert any(f.file == file and re.search(said, f.reason) for f in findings), "\n".join(map(str, findings))
    assert all(finding.remedy for finding in findings)
    assert not Path("/tmp/it-ran").exists()


def test_a_version_that_not_every_python_can_install(bundle, monkeypatch):
    about = {"Version": "2.2.6", "Requires-Python": ">=3.11"}
    monkeypatch.setattr("importlib.metadata.metadata", lambda name: about if name == "numpy" else {"Version": "0"})
    _, findings = command.read_and_check(bundle)
    (finding,) = [finding for finding in findings if finding.key == "numpy_version"]
    assert (
        "expected a version for Python 3.10, 3.11, 3.12, 3.13, got 2.2.6, which 3.10 cannot install" in finding.reason
    )


def nan(weights):
    key = next(iter(weights))
    weights[key].view(-1)[0] = float("nan")
    return weights


def reshaped(weights):
    key = next(iter(weights))
    weights[key] = weights[key][:1]
    return weights


NETWORK = {
    "not finite": (state(nan), WEIGHTS, "expected finite numbers"),
    "entry missing": (state(lambda w: dict(list(w.items())[1:])), WEIGHTS, "expected this entry"),
    "entry too much": (state(lambda w: {**w, "extra": next(iter(w.values()))}), WEIGHTS, "expected no such entry"),
    "wrong shape": (state(reshaped), WEIGHTS, "expected shape"),
    "a list": (state(lambda w: list(w.values())), WEIGHTS, "expected a state dict of tensors"),
    "shape lie": (meta(**{f"{OUTPUT}#spatial_shape": ["8*n", "16*n", "16*n"]}), META, "expected .8, 16, 16."),
    "input too small": (
        meta(**{"network_data_format#inputs#image#spatial_shape": ["10", "16*n", "16*n"]}),
        META,
        "expected to take .10, 16, 16.",
    ),
}


@pytest.mark.parametrize("defect", NETWORK)
def test_found_in_the_network(defect, bundle, tmp_path):
    apply, file, said = NETWORK[defect]
    apply(bundle)
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (META, CONFIG, WEIGHTS):
        shutil.copyfile(bundle / path, flat / Path(path).name)
    findings = examine(flat)
    assert any(f.file == file and re.search(said, f.reason) for f in findings), "\n".join(map(str, findings))


def test_there_are_enough_of_them():
    from tests.tools.registry.test_archive import ENTRIES

    assert len(STATIC) + len(NETWORK) + len(ENTRIES) >= 60


@pytest.mark.parametrize("archive", [False, True])
def test_a_sound_bundle_passes(bundle, tmp_path, archive, capsys):
    path = pack(bundle, tmp_path / "dist") if archive else bundle
    command.validate([str(path)])
    assert "nothing to complain about" in capsys.readouterr().out


def test_as_json(bundle, capsys):
    gone("LICENSE")(bundle)
    with pytest.raises(InputError, match="1 of 1 bundles have errors"):
        command.validate([str(bundle)], json=True)
    (finding,) = json.loads(capsys.readouterr().out)[str(bundle)]
    assert finding["file"] == "LICENSE" and finding["level"] == "error"


def test_foreign_code_is_said(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "check_network", lambda bundle: [])
    write("common/__init__.py", "print('hello')")(bundle)
    (finding,) = command.check(bundle)
    assert finding.level == "warning" and "1 of 1 files of it are not this project's" in finding.reason


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="expected a bundle's folder or archive"):
        command.validate([str(tmp_path / "none")])


def test_a_hostile_archive_is_not_read_further(tmp_path):
    path = tmp_path / "tiny_v0.1.0.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny/../../evil", "x")
    (finding, *_) = command.check(path)
    assert "leads out of it" in finding.reason and "do not unpack" in finding.remedy

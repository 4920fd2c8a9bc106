"""``tools label`` and ``tools atlas``: what they say before a server starts; and the commands of their page."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from common.errors import InputError
from tests.house import ROOT
from tools.__main__ import find
from tools.arguments import match_words
from tools.command import read_command
from tools.label import label

PAGE = (ROOT / "docs" / "label.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m tools (.*?)(?:\s+#.*)?$", PAGE, re.MULTILINE)


def test_without_monai_label_the_installation_is_told(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install --no-deps -r requirements-label\.txt"):
        label(tmp_path)


def test_the_studies_have_to_be_there(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(InputError, match=r"studies folder .*nowhere: expected a folder, got none"):
        label(tmp_path / "nowhere")


@pytest.mark.parametrize("line", COMMANDS)
def test_the_pages_commands_are_ours(line: str):
    name, target, words = find(shlex.split(line))
    assert isinstance(target, str) and match_words(read_command(name, target), words)


def test_every_option_of_the_page_exists():
    command = read_command("label", "tools.label:label")
    named = set(re.findall(r"`--(\w+)", PAGE)) - {"names", "no"}
    assert len(COMMANDS) >= 4 and named <= {option.name for option in command.options}


def test_the_requirements_are_pinned():
    """With --no-deps nothing else is installed: each package has its version here or in constraints.txt."""
    lines = (ROOT / "requirements-label.txt").read_text(encoding="utf-8").splitlines()
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    packages = [line.partition(" ;")[0].strip() for line in lines if line and line[0] not in "#-"]
    unpinned = [
        name for name in packages if "==" not in name and not re.search(rf"^{name}==", constraints, re.MULTILINE)
    ]
    assert unpinned == [] and len(packages) > 30 and "monailabel==0.8.5" in packages

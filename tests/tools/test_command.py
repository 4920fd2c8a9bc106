"""A command read from its source: the same as what Python would say of the function, and a page of help."""

import importlib
import inspect
from pathlib import Path

import pytest

from tools.__main__ import COMMANDS, _targets
from tools.arguments import _READERS
from tools.command import WIDTH, read_command

EXAMPLE = read_command("example", "tests.tools.example:example")
TARGETS = dict(_targets("", COMMANDS))


def test_options_types_and_defaults():
    found = {option.name: (set(option.kinds), option.default) for option in EXAMPLE.options}
    assert found["image"] == ({"str"}, None)
    assert found["spacing"] == ({"float", "None"}, "None")
    assert found["passes"] == ({"Sequence[int]"}, "(1, 2)")  # the constant's value, not its name
    assert found["methods"] == ({"str", "Sequence[str]"}, "'all'")
    assert found["resume"] == ({"bool"}, "False")
    assert EXAMPLE.required == ["image"] and not EXAMPLE.takes_others
    assert read_command("open", "tests.tools.example:open_ended").takes_others


def test_a_page_of_help():
    page = EXAMPLE.help().splitlines()
    assert page[0].startswith("usage: ") and page[0].endswith("example IMAGE [options]")
    assert page[2] == EXAMPLE.summary == "Print what came, in one line."
    text = "\n".join(page)
    assert "  --image TEXT  (required)\n      what to read, over two lines; with code." in text
    assert "  --spacing NUMBER\n      in mm." in text
    assert "  --passes INTEGER,...  (default: (1, 2))" in text
    assert "  --methods TEXT,...  (default: all)\n      names: with commas between them." in text
    assert "  --voxels true|false  (default: True)" in text
    assert "Raises" not in text and "absent" not in text


@pytest.mark.parametrize("name", TARGETS)
def test_every_command_is_as_its_source_says(name: str):
    command = read_command(name, TARGETS[name])
    parameters = inspect.signature(getattr(importlib.import_module(command.module), command.function)).parameters
    named = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    assert [option.name for option in command.options] == named
    assert command.required == [n for n in named if parameters[n].default is inspect.Parameter.empty]
    assert not any(p.kind is p.VAR_POSITIONAL for p in parameters.values()), "the command line has no place for *words"


@pytest.mark.parametrize("name", TARGETS)
def test_every_option_has_a_reader(name: str):
    """An annotation that the command line does not know would be read as JSON: text and switches are always known."""
    literals = {"dict", "dict[str, Any]", "Sequence[Sequence[int]]"}
    for option in read_command(name, TARGETS[name]).options:
        assert option.kinds <= {*_READERS, *literals, "None"}, f"--{option.name}: {set(option.kinds)}"


@pytest.mark.parametrize("name", TARGETS)
def test_every_command_says_what_it_does(name: str):
    command = read_command(name, TARGETS[name])
    assert command.summary.endswith(".") and len(command.summary) <= 150
    assert not [option.name for option in command.options if not option.text], "options without a word in Args"
    assert max(map(len, command.help().splitlines())) <= max(WIDTH, 120)
    assert Path(__file__).parents[2].joinpath(*command.module.split(".")[:-1]).is_dir()

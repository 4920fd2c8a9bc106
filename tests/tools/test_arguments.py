"""Words of a shell become options and values: text stays text, switches are read, mistakes end in one line."""

from pathlib import Path

import pytest

from tools.arguments import UsageError, literal_or_text, match_words, readers
from tools.command import read_command

EXAMPLE = read_command("example", "tests.tools.example:example")
OPEN = read_command("open", "tests.tools.example:open_ended")


def values(*words: str, command=EXAMPLE) -> dict:
    given = match_words(command, words)
    read = readers(command)
    return {name: read[name](text) for name, text in given.items()}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("20240102", {"image": "20240102"}),
        ("--image a#b", {"image": "a#b"}),
        ("--image=-x", {"image": "-x"}),
        ("--image -x.nii", {"image": "-x.nii"}),
        ("--image=--resume", {"image": "--resume"}),
        ("-- --resume", {"image": "--resume"}),
        ("-i 1e3", {"image": "1e3"}),
        ("--image None", {"image": "None"}),
        ("--image=", {"image": ""}),
        ("a=b", {"image": "a=b"}),
        ("a --output 20240102", {"image": "a", "output": Path("20240102")}),
        ("a 2", {"image": "a", "output": Path("2")}),
        ("--output 2 a", {"image": "a", "output": Path("2")}),
        ("a --voxels false", {"image": "a", "voxels": False}),
        ("a --voxels=No", {"image": "a", "voxels": False}),
        ("--voxels a", {"image": "a", "voxels": True}),
        ("--voxels 0 a", {"image": "a", "voxels": False}),
        ("a --voxels", {"image": "a", "voxels": True}),
        ("a --no_voxels", {"image": "a", "voxels": False}),
        ("a --no-voxels --resume", {"image": "a", "voxels": False, "resume": True}),
        ("--novoxels a", {"image": "a", "voxels": False}),
        ("a --threads 4", {"image": "a", "threads": 4}),
        ("a --spacing -1.5", {"image": "a", "spacing": -1.5}),
        ("a --spacing None", {"image": "a", "spacing": None}),
        ("a --passes 2,1", {"image": "a", "passes": [2, 1]}),
        ("a --passes [2]", {"image": "a", "passes": [2]}),
        ("a --methods none,20240102", {"image": "a", "methods": "none,20240102"}),
        ("a --table {'t1':'*.nii'}", {"image": "a", "table": {"t1": "*.nii"}}),
        ('a --table {"t1":false}', {"image": "a", "table": {"t1": False}}),
    ],
)
def test_values_are_what_was_meant(words: str, expected: dict):
    assert values(*words.split(" ")) == expected


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", r"^example needs --image; .* example --help says more$"),
        ("a --outptu b", r"^unknown option --outptu \(did you mean --output\?\)$"),
        ("a --nothing", r"^unknown option --nothing; .*--help lists them$"),
        ("-x.nii", r"unknown option -x\.nii.*; a file of that name is written \./-x\.nii$"),
        ("a --output", "^--output needs a value$"),
        ("a --output --resume", "^--output needs a value$"),
        ("a --threads 1 --threads=2", "^--threads is given twice$"),
        ("--image a 1 True 1 1 1 a {} True more", "^unexpected 'more'$"),
        ("a --resume flase", r"^--resume flase: expected true or false \(or yes/no, on/off, 1/0\)$"),
        ("a --voxels=flase", r"^--voxels: expected a switch to be true or false .*, got 'flase'$"),
        ("a --threads two", "^--threads: expected an integer, got 'two'$"),
        ("a --threads 1.5", "^--threads: expected an integer, got '1.5'$"),
        ("a --spacing wide", "^--spacing: expected a number, got 'wide'$"),
        ("a --passes 2-1", "^--passes: expected integers with commas between them, got '2-1'$"),
        ("a --table {t1", "^--table: expected JSON, got '{t1'$"),
    ],
)
def test_a_mistake_is_named(words: str, text: str):
    with pytest.raises(UsageError, match=text):
        values(*words.split())


def test_a_function_with_keywords_takes_every_option():
    words = ["--image", "a", "--network_def#rbsc", "false", "--passes", "[2]", "--fast", "--x", "y z"]
    given = match_words(OPEN, words)
    assert given == {"image": "a", "network_def#rbsc": "false", "passes": "[2]", "fast": "true", "x": "y z"}


@pytest.mark.parametrize(
    ("text", "value"), [("false", False), ("20a", "20a"), ("[2]", [2]), ("y z", "y z"), ("1.5", 1.5)]
)
def test_anything_is_json_or_text(text: str, value: object):
    assert literal_or_text(text) == value


ADD = read_command("registry add", "tools.registry.publish:add")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("r a.zip b.zip", {"registry": Path("r"), "archives": ["a.zip", "b.zip"]}),
        ("r a.zip --commit 7 b.zip", {"registry": Path("r"), "archives": ["a.zip", "b.zip"], "commit": "7"}),
        ("--archives a.zip r", {"registry": Path("r"), "archives": ["a.zip"]}),
    ],
)
def test_a_list_that_is_needed_takes_all_loose_words(words, expected):
    assert values(*words.split(), command=ADD) == expected


@pytest.mark.parametrize(
    "words",
    ["--transform t --input a b --output c d", "--transform=t --input a,b --output c,d", "-t t --input a b -o c,d"],
)
def test_a_list_that_is_needed_takes_the_words_up_to_the_next_option(words: str):
    given = values(*words.split(), "--inverse", command=read_command("apply", "tools.apply:apply"))
    assert given == {"transform": ["t"], "input": ["a", "b"], "output": ["c", "d"], "inverse": True}


@pytest.mark.parametrize(
    "words",
    [
        "raw out participant --participant-label 01 sub-02 --workers 2",
        "raw out participant --participant_label 01,sub-02 --workers 2",
        "--participant-label 01 sub-02 raw out participant --workers 2",
        "raw --participant-label 01 sub-02 out participant --workers 2",
    ],
)
def test_any_list_takes_words_but_for_those_that_others_need(words: str):
    given = values(*words.split(), command=read_command("bids", "tools.bids.command:bids"))
    assert given.pop("participant_label") == ["01", "sub-02"]
    assert given == {"bids_dir": Path("raw"), "out_dir": Path("out"), "analysis_level": "participant", "workers": 2}

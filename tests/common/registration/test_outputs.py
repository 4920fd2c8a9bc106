import os

import pytest

from common.errors import InputError
from common.registration.outputs import RESULT_FILES, check_outputs, result_folder
from common.writing import LONGEST_NAME, write_together


@pytest.fixture
def pair(tmp_path):
    for name in ("fixed.nii", "moving.nii"):
        (tmp_path / name).write_text(name)
    return {"fixed": str(tmp_path / "fixed.nii"), "moving": str(tmp_path / "moving.nii")}


def test_one_pair_without_a_name_has_the_folder_for_itself(tmp_path):
    assert result_folder(tmp_path, {}) == tmp_path
    assert result_folder(tmp_path, {"name": "a"}) == tmp_path / "a"


@pytest.mark.parametrize("name", RESULT_FILES)
@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_no_result_replaces_an_input(tmp_path, pair, name, link):
    """Whatever it is called: by its path, by a symbolic link, by a hard link."""
    (tmp_path / "out" / "p").mkdir(parents=True)
    source = tmp_path / "out" / "p" / name
    source.write_text("input")
    if link:
        link(source, tmp_path / "other.nii")
    earlier = {**pair, "name": "q", "moving_label": str(tmp_path / "other.nii" if link else source)}
    with pytest.raises(InputError, match=r"the result .*/p/.* would replace an input \(moving_label .*\)"):
        check_outputs([earlier, {**pair, "name": "p"}], tmp_path / "out")
    check_outputs([earlier], tmp_path / "out")


def test_results_of_an_older_run_are_no_inputs(tmp_path, pair):
    for name in RESULT_FILES:
        (tmp_path / name).write_text("old")
    check_outputs([pair], tmp_path)


@pytest.mark.parametrize("letter", ["n", "ü"])
def test_a_name_as_long_as_a_file_system_takes(tmp_path, pair, letter):
    longest = letter * (LONGEST_NAME // len(letter.encode()))
    check_outputs([{**pair, "name": longest}], tmp_path)
    write_together(tmp_path / longest, {"a": lambda path: path.write_text("x")})
    with pytest.raises(InputError, match=f"expected a name of at most {LONGEST_NAME} bytes.*, got {LONGEST_NAME + 1}"):
        check_outputs([pair, {**pair, "name": "n" * (LONGEST_NAME + 1)}], tmp_path)

"""What a user caused is found behind what others raised, and a typing error finds its word."""

import pytest

from common.errors import InputError, find_input_error, nearest


def raised(*errors: BaseException, cause: bool = True) -> BaseException:
    """The last of these errors, each raised while the one before was handled (or from it)."""
    try:
        if len(errors) > 1:
            try:
                raise raised(*errors[:-1], cause=cause)
            except BaseException as earlier:
                if cause:
                    raise errors[-1] from earlier
                raise errors[-1]  # noqa: B904
        raise errors[0]
    except BaseException as error:
        return error


@pytest.mark.parametrize("cause", [True, False], ids=["from", "while handling"])
def test_it_is_found_behind_what_monai_raises(cause: bool):
    mine = InputError("no such image")
    assert find_input_error(raised(mine, RuntimeError("applying transform"), ValueError("run"), cause=cause)) is mine
    assert find_input_error(mine) is mine
    assert isinstance(mine, ValueError)


def test_what_no_user_caused_is_not_found():
    assert find_input_error(raised(KeyError("a"), RuntimeError("b"))) is None
    assert find_input_error(None) is None


def test_a_circle_of_causes_ends():
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert find_input_error(first) is None


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("outptu_dir", " (did you mean --output_dir?)"),
        ("moving_lable", " (did you mean --moving_label?)"),
        ("pases", " (did you mean --passes?)"),
        ("colour", ""),
    ],
)
def test_a_typing_error_finds_its_word(word: str, hint: str):
    assert nearest(word, ["output_dir", "moving", "moving_label", "passes"]) == hint


def test_words_of_another_kind_have_no_hyphens():
    assert nearest("benhcmark", {"benchmark": 1, "convert": 2}, prefix="") == " (did you mean benchmark?)"

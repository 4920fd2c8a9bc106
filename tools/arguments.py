"""The words behind a command, read by the annotations of its function: text stays text, switches are switches.

fire guesses a value's type from its looks (``--output_dir 20240102`` is a number, ``a#b`` ends at the comment sign) and
takes ``-x`` for an option. Here each word gets its option first, and each option its reader; fire then calls.
"""

import ast
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from common.errors import InputError, nearest
from common.switches import switch
from tools.command import Command, Option, program


class UsageError(InputError):
    """A command was called in a way that it does not know; the exit code is 2."""


def match_words(command: Command, words: Sequence[str]) -> dict[str, str]:
    """Find the option of every word.

    ``--name value``, ``--name=value``, ``--switch``, ``--no_switch`` and a single letter where one option alone begins
    with it; a hyphen inside of a name counts as an underscore. A list takes every word up to the next option
    (``--input a b``), but for those that options which are needed have to have. Loose words fill the options that are
    left, in order; a list that is needed takes all that remain. Behind ``--`` every word is a loose one.

    Args:
        command: whose options they are.
        words: what stands behind the command's name.

    Returns:
        Text by option.

    Raises:
        UsageError: an unknown option, one without a value or given twice, a word too many, or one that is missing.
    """
    found: dict[str, str] = {}
    loose: list[tuple[str, str | None]] = []  # a word, and the switch right before it
    further: dict[str, list[str]] = {}  # what follows the first word of a list
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            loose += [(other, None) for other in rest]
            break
        if not word.startswith("-") or word[1:2] in "0123456789.":
            loose.append((word, None))
            continue
        name, equals, value = word.partition("=")
        option, negated = _find_option(command, name)
        if option.name in found:
            raise UsageError(f"--{option.name} is given twice")
        if not equals:
            value = _take_value(option, rest, negated)
            if _is_switch(option) and rest and not rest[0].startswith("-"):
                loose.append((rest.pop(0), option.name))
            elif _is_list(option):
                further[option.name] = _take_words(rest)
        found[option.name] = value
    for name, more in further.items():
        lacking = sum(other not in found for other in command.required) - len(loose)
        kept = len(more) - min(max(lacking, 0), len(more))
        loose += [(word, None) for word in more[kept:]]  # other options need them: --list a other
        found[name] = ",".join([found[name], *more[:kept]])
    return _fill(command, found, loose)


def _find_option(command: Command, word: str) -> tuple[Option, bool]:
    """Return the option that a word names, and whether the word turns it off."""
    name = word.lstrip("-").replace("-", "_")
    options = {option.name: option for option in command.options}
    if name in options:
        return options[name], False
    positive = name.removeprefix("no").removeprefix("_")
    if name.startswith("no") and positive in options and _is_switch(options[positive]):
        return options[positive], True
    beginning = [option for option in command.options if option.name.startswith(name)]
    if len(name) == 1 and len(beginning) == 1:
        return beginning[0], False
    if command.takes_others and word.startswith("--"):
        return Option(name, frozenset({"Any"}), "None"), False
    hint = nearest(name, options) or f"; {program()} {command.name} --help lists them"
    if not word.startswith("--"):
        hint += f"; a file of that name is written ./{word}"
    raise UsageError(f"unknown option {word}{hint}")


def _is_list(option: Option) -> bool:
    return any(kind.startswith("Sequence") for kind in option.kinds)


def _is_needed_list(option: Option) -> bool:
    return option.default is None and _is_list(option)


def _take_words(rest: list[str]) -> list[str]:
    """Take the words up to the next option."""
    count = next((n for n, word in enumerate(rest) if word.startswith("-") and len(word) > 1), len(rest))
    taken, rest[:] = rest[:count], rest[count:]
    return taken


def _is_switch(option: Option) -> bool:
    return option.kinds <= {"bool", "None"}


def _take_value(option: Option, rest: list[str], negated: bool) -> str:
    """Return the value of an option without an equals sign, taken from the words that follow where it is there."""
    if negated:
        return "false"
    if _is_switch(option):
        return rest.pop(0) if rest and _reads_as_switch(rest[0]) else "true"
    if rest and not rest[0].startswith("--"):
        return rest.pop(0)
    if option.kinds == {"Any"}:
        return "true"
    raise UsageError(f"--{option.name} needs a value")


def _reads_as_switch(word: str) -> bool:
    try:
        switch(word)
    except InputError:
        return False
    return True


def _fill(command: Command, found: dict[str, str], loose: Sequence[tuple[str, str | None]]) -> dict[str, str]:
    """Give the loose words to the options that are left, in order."""
    free = [option for option in command.options if option.name not in found]
    for place, option in enumerate(free[: len(loose)]):
        if _is_needed_list(option):
            # "command a b c": a list that is needed takes all the words that are left
            loose = [*loose[:place], (",".join(word for word, _ in loose[place:]), loose[place][1])]
            break
    for (word, behind), option in zip(loose, free, strict=False):
        if behind is not None and option.default is not None:
            raise UsageError(f"--{behind} {word}: expected true or false (or yes/no, on/off, 1/0)")
        found[option.name] = word
    if len(loose) > len(free):
        raise UsageError(f"unexpected {loose[len(free)][0]!r}")
    missing = [f"--{name}" for name in command.required if name not in found]
    if missing:
        raise UsageError(f"{command.name} needs {', '.join(missing)}; {program()} {command.name} --help says more")
    return found


def readers(command: Command) -> dict[str, Callable[[str], Any]]:
    """Return a function from text to value for every option, for ``fire.decorators.SetParseFns``.

    Raises (the functions):
        UsageError: the text is not of the option's type; names the option.
    """
    return {option.name: partial(read_value, option) for option in command.options}


def read_value(option: Option, text: str) -> Any:
    """Read one option's text as its annotation says.

    Raises:
        UsageError: the text is not of that type.
    """
    kinds = option.kinds - {"None"}
    if "None" in option.kinds and text == "None" and "str" not in kinds:
        return None
    read = next((reader for kind, reader in _READERS.items() if kind in kinds), literal)
    try:
        return read(text)
    except (ValueError, SyntaxError) as error:
        detail = str(error) if isinstance(error, InputError) else f"expected {_WANTED.get(read, 'JSON')}, got {text!r}"
        raise UsageError(f"--{option.name}: {detail}") from None


def literal(text: str) -> Any:
    """Read JSON, or a Python literal such as ``{'t1': 'mr/*.nii.gz'}``.

    Raises:
        ValueError: it is neither.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return ast.literal_eval(text)


def literal_or_text(text: str) -> Any:
    """Read what is JSON as JSON, everything else as text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def split(text: str, kind: Callable[[str], Any] = str) -> list[Any]:
    """Read ``a,b``, with or without brackets and quotes.

    >>> split("[2, 1]", int), split("none, ants_syn")
    ([2, 1], ['none', 'ants_syn'])
    """
    text = text.strip()
    if text[:1] + text[-1:] in ("[]", "()"):
        text = text[1:-1]
    return [kind(word.strip().strip("'\"")) for word in text.split(",") if word.strip()]


_INTEGERS, _NUMBERS = partial(split, kind=int), partial(split, kind=float)
# By annotation; the first that an option allows counts, so that text stays text wherever it may.
_READERS: dict[str, Callable[[str], Any]] = {
    "Path": Path, "str": str, "bool": switch, "int": int, "float": float,
    "Sequence[str]": split, "Sequence[int]": _INTEGERS, "Sequence[float]": _NUMBERS, "Any": literal_or_text,
}  # fmt: skip
_WANTED: dict[Any, str] = {
    int: "an integer", float: "a number", _INTEGERS: "integers with commas between them",
    _NUMBERS: "numbers with commas between them",
}  # fmt: skip

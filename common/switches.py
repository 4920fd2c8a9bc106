"""Values as a shell hands them over, read as people write them."""

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from common.errors import InputError

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}

Class = TypeVar("Class", bound=type)


def switch(value: Any, name: str = "a switch") -> bool:
    """Read a switch from the command line, where ``--amp true`` arrives as text and ``--amp True`` as a boolean.

    True and false, yes and no, on and off, 1 and 0 are read: as text in any case, as booleans and as numbers.

    Args:
        value: what came.
        name: what the error calls it.

    Raises:
        InputError: none of these.
    """
    text = str(value).strip().lower()
    if text not in _WORDS:
        raise InputError(f"expected {name} to be true or false (or yes/no, on/off, 1/0), got {value!r}")
    return _WORDS[text]


def reads_switches(cls: Class) -> Class:
    """Decorate a class that configurations name: its constructor reads its arguments as people write them.

    Every argument annotated ``bool`` goes through ``switch``, so that ``--network_def#rbsc false`` is false and not a
    text that counts as true; with ``bool | None``, None stays None. Text for an argument annotated ``int`` or ``float``
    is refused, since a command line hands numbers over as numbers. Signature and documentation stay as they are.

    Raises:
        InputError: at construction, for what is neither; names class and argument, what was expected and what came.
    """
    construct: Callable[..., None] = cls.__init__  # type: ignore[misc]
    names = inspect.getfullargspec(construct).args[1:]  # those that may come by position, without self
    kinds = {name: _kinds(hint) for name, hint in get_type_hints(construct).items()}

    @functools.wraps(construct)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        owner = type(self).__name__
        read = [_read(value, kinds.get(name), f"{owner}'s {name}") for name, value in zip(names, args, strict=False)]
        named = {name: _read(value, kinds.get(name), f"{owner}'s {name}") for name, value in kwargs.items()}
        construct(self, *read, *args[len(read) :], **named)

    cls.__init__ = __init__  # type: ignore[misc]
    return cls


def _kinds(hint: Any) -> frozenset[Any]:
    """Return the types that an annotation allows: {int, NoneType} for ``int | None``."""
    return frozenset(get_args(hint) if get_origin(hint) in (Union, UnionType) else [hint])


def _read(value: Any, kinds: frozenset[Any] | None, name: str) -> Any:
    if kinds is None or (value is None and NoneType in kinds):
        return value
    if kinds <= {bool, NoneType}:
        return switch(value, name)
    if isinstance(value, str) and kinds <= {int, float, NoneType}:
        raise InputError(f"expected {name} to be a number, got the text {value!r}")
    return value


def path_as_written(path: str | Path) -> str:
    """Return a path as its owner wrote it: MONAI's configurations put ``::`` wherever a value holds ``#``.

    >>> path_as_written("scans::1/a.nii")
    'scans#1/a.nii'
    """
    text = str(path)
    return text if "::" not in text or Path(text).exists() else text.replace("::", "#")


def expanded(path: str | Path) -> Path:
    """A path with its leading ``~`` or ``~user`` replaced; where there is no such user it is a name, as in a shell."""
    return Path(os.path.expanduser(path))

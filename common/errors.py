"""The one exception for what a user's input causes, and the word that a typing error was near to."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A file, an option or a pair of images cannot be used; the text says what was expected, what came, and where.

    The commands print the text on one line and exit with a non-zero code; as a library error it is a ``ValueError``.
    """


def find_input_error(error: BaseException | None) -> "InputError | None":
    """Return the first ``InputError`` in the chain of causes: MONAI wraps what its transforms raise."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, InputError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def nearest(word: str, known: Iterable[str], prefix: str = "--") -> str:
    """Return `` (did you mean --fixed?)`` for a word that resembles a known one, else nothing.

    >>> nearest("outptu", ["fixed", "output"])
    ' (did you mean --output?)'
    """
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f" (did you mean {prefix}{close[0]}?)" if close else ""

"""Values as a shell hands them over, read as people write them."""

from common.errors import InputError


def switch(value: bool | str) -> bool:
    """Read a switch from the command line, where ``--amp true`` arrives as text and ``--amp True`` as a boolean.

    Raises:
        InputError: neither true nor false.
    """
    text = str(value).strip().lower()
    if text not in ("true", "false"):
        raise InputError(f"expected a switch to be true or false, got {value!r}")
    return text == "true"
